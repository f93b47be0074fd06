#include "cli/launcher.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/exit_code.h"
#include "base/core/files.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "base/process/child.h"
#include "base/process/system_error.h"
#include "cli/messages.h"
#include "cli/places.h"

namespace quire::cli {
namespace {

// A stage that takes longer is ended by SIGKILL.
constexpr int64_t kGatewayHurryMs = 60'000, kEndGroupsMs = 30'000;
constexpr int kMaxCoordinatorStops = 3;
constexpr const char* kLoopback = "127.0.0.1";
constexpr int kMaxGroupFailures = 3;  // of one group, since it last served

int64_t NowMs() { return SystemClock().NowMs(); }

// As under nohup.
bool HangupIsIgnored() {
  struct sigaction now {};
  return sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

bool IsFinal(const ProcessEnd& end) { return end.exit_code && !RestartCanHelp(*end.exit_code); }

// What it said itself, or where it may be found.
std::string WordsOf(const Service& service) {
  const std::string words = Readable(service.LastWords());
  return words.empty() ? "see " + service.log_file() : words;
}

absl::Status GoneForGood(const Service& service, const ProcessEnd& end) {
  return absl::UnavailableError(absl::StrCat("the ", service.name(), " ended (", end.Text(),
                                             "), which a restart can't help: ", WordsOf(service)));
}

}  // namespace

Launcher::Launcher(ServeOptions options, std::string programs)
    : options_(std::move(options)),
      programs_(std::move(programs)),
      logs_(options_.data + "/logs"),
      run_(options_.data + "/run"),
      coordinator_("coordinator", programs_ + "/quire-coordinator", logs_,
                   [this] { return CoordinatorArgs(); }),
      gateway_("gateway", programs_ + "/quire-gateway", logs_, [this] { return GatewayArgs(); }),
      group_ender_("group-ender", programs_ + "/quire-coordinator", logs_,
                   [this] {
                     return std::vector<std::string>{"--end-groups", "--data=" + options_.data};
                   }),
      log_follower_(logs_,
                    [this](const std::string& file, const std::string& line) { OnLogLine(file, line); }),
      ready_follower_(
          run_, [this](const std::string& file, const std::string& line) { OnReadyFile(file, line); }) {}

absl::Status Launcher::Run() {
  QUIRE_RETURN_IF_ERROR(MakeSignalFd());
  QUIRE_RETURN_IF_ERROR(CheckDataFolder(options_.data));
  QUIRE_RETURN_IF_ERROR(CheckReadyFile(options_.ready_file));
  QUIRE_RETURN_IF_ERROR(CheckModel());
  if (stage_ == Stage::kStopped) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(Prepare());
  for (const std::string& note : plan_notes_) Say(note);
  Say(absl::StrCat("starting ", groups_, " group(s) of ", ranks_, " rank(s) (", plan_reason_,
                   "); logs are in ", logs_));
  StartOrRetry(coordinator_);
  while (stage_ != Stage::kStopped) {
    if (stage_ == Stage::kServing) failure_.Update(AnnounceIfReady());
    if (stage_ == Stage::kServing && !failure_.ok()) BeginStop();
    if (stage_ != Stage::kStopped) WaitForEvent();
  }
  RemoveReadyFile(options_.ready_file);
  return failure_;
}

absl::Status Launcher::MakeSignalFd() {
  std::signal(SIGCHLD, SIG_DFL);  // whoever started us may have had it ignored
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, number);
  if (!HangupIsIgnored()) sigaddset(&signals, SIGHUP);  // blocked it would come all the same
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_ = Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals_.valid()) return absl::OkStatus();
  return SystemError("can't wait for signals", errno);
}

absl::Status Launcher::Prepare() {
  QUIRE_RETURN_IF_ERROR(CheckNobodyHas(options_.data));  // before its logs are touched
  for (const std::string& folder : {options_.data, logs_, run_}) {
    QUIRE_RETURN_IF_ERROR(MakePrivateFolder(folder));
    QUIRE_RETURN_IF_ERROR(CheckWritable(folder));  // what starts has to log and to write its books
  }
  RemoveReadyFile(options_.ready_file);
  QUIRE_RETURN_IF_ERROR(ready_follower_.Start());
  if (const absl::Status followed = log_follower_.Start(); !followed.ok()) {  // no reason not to serve
    Say(absl::StrCat(MessageOf(followed), "; going on, but how the workers load, and why a group is lost, ",
                     "only the logs will say"));
  }
  return KeepPorts();
}

absl::Status Launcher::KeepPorts() {
  QUIRE_ASSIGN_OR_RETURN(grpc_port_, KeptPort::Keep(kLoopback, 0));
  QUIRE_ASSIGN_OR_RETURN(admin_port_, KeptPort::Keep(kLoopback, static_cast<int>(options_.admin_port)));
  QUIRE_ASSIGN_OR_RETURN(api_port_, KeptPort::Keep(options_.host, static_cast<int>(options_.port)));
  return absl::OkStatus();
}

void Launcher::WaitForEvent() {
  pollfd fds[] = {{signals_.get(), POLLIN, 0},       {log_follower_.fd(), POLLIN, 0},
                  {ready_follower_.fd(), POLLIN, 0}, {coordinator_.pidfd(), POLLIN, 0},
                  {gateway_.pidfd(), POLLIN, 0},     {group_ender_.pidfd(), POLLIN, 0}};
  if (poll(fds, std::size(fds), TimeoutMs()) < 0) return;  // EINTR
  if (fds[0].revents != 0) TakeSignals();
  if (fds[2].revents != 0) ready_follower_.ReadNew();  // first: who serves counts when another one fails
  if (fds[1].revents != 0) log_follower_.ReadNew();
  if (fds[3].revents != 0) OnEnded(coordinator_);
  if (fds[4].revents != 0) OnEnded(gateway_);
  if (fds[5].revents != 0) OnGroupsEnded();
  StartIfDue(coordinator_);
  StartIfDue(gateway_);
  if (stage_ends_ms_ != 0 && AwakeMs() >= stage_ends_ms_) OnStageTooLong();
}

int Launcher::TimeoutMs() {
  int64_t wait_ms = INT64_MAX;
  for (const int64_t due_ms : {coordinator_.start_at_ms(), gateway_.start_at_ms()}) {
    if (due_ms != 0) wait_ms = std::min(wait_ms, due_ms - NowMs());
  }
  if (stage_ends_ms_ != 0)
    wait_ms = std::min({wait_ms, stage_ends_ms_ - AwakeMs(), AwakeTime::kRoundUs / 1000});
  return wait_ms == INT64_MAX ? -1 : static_cast<int>(std::max<int64_t>(0, wait_ms));
}

void Launcher::TakeSignals() {
  bool child_ended = false;
  signalfd_siginfo taken;
  while (read(signals_.get(), &taken, sizeof taken) == sizeof taken) {
    if (taken.ssi_signo == SIGCHLD) {
      child_ended = true;
    } else {  // a terminal that is closed is an operator who leaves
      OnStopSignal(taken.ssi_signo == SIGHUP ? SIGTERM : static_cast<int>(taken.ssi_signo));
    }
  }
  // As PID 1 of a container the workers of a coordinator that died become our children.
  if (child_ended && getpid() == 1) ReapAdopted({coordinator_.pid(), gateway_.pid(), group_ender_.pid()});
}

void Launcher::OnStopSignal(int number) {
  if (!first_signal_) {
    first_signal_ = FirstSignal{number, NowMs()};
    if (stage_ == Stage::kServing) BeginStop();  // else it stops already, of its own will
  } else if (Hurries(*first_signal_, number, NowMs(), SigtermAgain::kHurries)) {
    HurryStop();
  }
}

void Launcher::StartOrRetry(Service& service) {
  const absl::Status started = service.Start(NowMs());
  if (started.ok()) return;
  if (!service.was_ready()) return failure_.Update(started);  // who starts quire looks on
  Say(absl::StrCat(MessageOf(started), "; trying again in ", service.StartLater(NowMs()), " ms"));
}

void Launcher::StartIfDue(Service& service) {
  if (service.start_at_ms() != 0 && NowMs() >= service.start_at_ms()) StartOrRetry(service);
}

void Launcher::OnEnded(Service& service) {
  if (!service.running()) return;
  const bool served = service.ready();
  const ProcessEnd end = service.Reap(NowMs());
  if (stage_ == Stage::kServing) {
    OnEndedWhileServing(service, end, served);
  } else {
    OnEndedWhileStopping(service, end);
  }
}

void Launcher::OnEndedWhileServing(Service& service, const ProcessEnd& end, bool served) {
  if (!service.was_ready()) {
    const std::string why =
        absl::StrCat("the ", service.name(), " can't start (", end.Text(), "): ", WordsOf(service));
    return failure_.Update(end.exit_code == kExitUsage ? absl::InvalidArgumentError(why)
                                                       : absl::UnavailableError(why));
  }
  if (IsFinal(end)) return failure_.Update(GoneForGood(service, end));
  if (end.clean() && served) {  // somebody told it to: a restart, or an upgrade
    Say(absl::StrCat("the ", service.name(), " ended as it was told; starting it again"));
    return StartOrRetry(service);
  }
  const std::string words = Readable(service.LastWords());
  Say(absl::StrCat("the ", service.name(), " ended (", end.Text(), words.empty() ? "" : ", ", words,
                   "); restarting it in ", service.StartLater(NowMs()), " ms"));
}

// A gateway that ends has drained. A coordinator is needed until it has stopped the groups: what the gateway
// still delivers is settled with it.
void Launcher::OnEndedWhileStopping(Service& service, const ProcessEnd& end) {
  if (&service == &gateway_) {
    if (!end.clean() && gateway_.was_ready()) {  // one that never served may have died of the signal
      failure_.Update(absl::UnavailableError(
          absl::StrCat("the gateway ended (", end.Text(), ") while it drained: ", WordsOf(gateway_))));
    }
    if (stage_ == Stage::kDrainingGateway) BeginStoppingCoordinator();
    return;
  }
  if (stage_ == Stage::kStoppingCoordinator && end.clean()) {
    stage_ = Stage::kStopped;
  } else if (IsFinal(end) || !coordinator_.was_ready() || coordinator_stops_ >= kMaxCoordinatorStops) {
    // One that never served may have died of the signal.
    if (coordinator_.was_ready()) failure_.Update(GoneForGood(coordinator_, end));
    if (stage_ == Stage::kStoppingCoordinator) EndGroups();
  } else {
    Say(absl::StrCat("the coordinator ended (", end.Text(), "); restarting it in ",
                     coordinator_.StartLater(NowMs()), " ms"));
  }
}

void Launcher::BeginStop() {
  Say("stopping: open requests are finished first");
  stage_ = Stage::kDrainingGateway;
  EndStageIn(options_.GatewayStopMs());
  gateway_.DontStart();
  if (!gateway_.running()) return BeginStoppingCoordinator();
  gateway_.TellToStop();
}

void Launcher::BeginStoppingCoordinator() {
  stage_ = Stage::kStoppingCoordinator;
  EndStageIn(options_.CoordinatorStopMs());
  if (!coordinator_.ever_started()) {  // what may run is another launcher's
    stage_ = Stage::kStopped;
  } else if (!coordinator_.running() && coordinator_.start_at_ms() == 0) {
    EndGroups();
  } else if (coordinator_.ready() || !coordinator_.was_ready()) {
    TellCoordinatorToStop();
  }  // else it is told when it is ready: before, it might die of the signal
}

// The coordinator is gone for good. What it left is ended by its program, which needs no ledger for that.
void Launcher::EndGroups() {
  stage_ = Stage::kStopped;
  std::error_code error;  // where it can't be looked at, the program says so
  if (!std::filesystem::exists(options_.data + "/fleet.json", error) && !error) return;
  if (const absl::Status started = group_ender_.Start(NowMs()); !started.ok()) {
    return failure_.Update(started);
  }
  stage_ = Stage::kEndingGroups;
  EndStageIn(kEndGroupsMs);
}

void Launcher::OnGroupsEnded() {
  const ProcessEnd end = group_ender_.Reap(NowMs());
  stage_ = Stage::kStopped;
  if (end.clean()) return;
  Say(absl::StrCat("can't end the workers (", end.Text(), ", ", WordsOf(group_ender_),
                   "): their pids are in ", options_.data, "/fleet.json; left alone they end in 15 minutes"));
}

void Launcher::TellCoordinatorToStop() {
  ++coordinator_stops_;
  EndStageIn(options_.CoordinatorStopMs());
  coordinator_.TellToStop();
  if (hurried_) coordinator_.Signal(SIGINT);  // another number: two of one may become one
}

void Launcher::HurryStop() {
  if (std::exchange(hurried_, true)) return;
  Say("stopping now: open requests end with an error");
  if (stage_ == Stage::kDrainingGateway) {
    stage_ends_ms_ = std::min(stage_ends_ms_, AwakeMs() + kGatewayHurryMs);
    gateway_.Signal(SIGINT);
  } else if (stage_ == Stage::kStoppingCoordinator && coordinator_.told_to_stop()) {
    coordinator_.Signal(SIGINT);
  }
}

void Launcher::OnStageTooLong() {
  Service& late = stage_ == Stage::kDrainingGateway ? gateway_
                  : stage_ == Stage::kEndingGroups  ? group_ender_
                                                    : coordinator_;
  Say(absl::StrCat("the ", late.name(), " does not end: killing it"));
  if (&late == &coordinator_) ++coordinator_stops_;
  EndStageIn(options_.CoordinatorStopMs());
  late.Signal(SIGKILL);
}

void Launcher::OnReadyFile(const std::string& file, const std::string& line) {
  const nlohmann::json ready = nlohmann::json::parse(line, nullptr, false);
  if (!ready.is_object()) return;
  if (file == "coordinator") {
    coordinator_grpc_ = TextOf(ready, "grpc");
    admin_ = TextOf(ready, "admin");
    coordinator_.SetReady();
    if (ready.contains("groups")) OnGroups(ready["groups"]);
    if (stage_ == Stage::kStoppingCoordinator && !coordinator_.told_to_stop()) TellCoordinatorToStop();
    const bool first = !gateway_.was_ready() && !gateway_.running() && gateway_.start_at_ms() == 0;
    if (stage_ == Stage::kServing && first) StartOrRetry(gateway_);
  } else if (file == "gateway") {
    api_ = TextOf(ready, "api");
    gateway_.SetReady();
  }
}

void Launcher::OnLogLine(const std::string& file, const std::string& line) {
  const nlohmann::json fields = nlohmann::json::parse(line, nullptr, false);
  if (!fields.is_object()) return;
  const std::string event = TextOf(fields, "event");
  if (event == "loading" && !announced_) {
    const std::string progress = absl::StrCat(file.substr(0, file.rfind('.')), ": ", TextOf(fields, "what"));
    if (progress != last_progress_) Say("loading " + progress);
    last_progress_ = progress;
  } else if (file == "coordinator.log" && event == "group_lost") {
    OnGroupLost(fields);
  }
}

// Those that are registered now.
void Launcher::OnGroups(const nlohmann::json& groups) {
  groups_up_ = 0;
  for (const nlohmann::json& group : groups) {
    const std::string id = TextOf(group, "id");
    const uint64_t epoch = group.value("epoch", uint64_t{0});
    ++groups_up_;
    group_failures_.erase(id);
    if (std::exchange(last_epochs_[id], epoch) != epoch) Say(absl::StrCat("group ", id, " serves"));
  }
}

// How many groups failed again and again since they last served, if they ever did.
int64_t Launcher::Hopeless() const {
  return std::count_if(group_failures_.begin(), group_failures_.end(),
                       [](const auto& group) { return group.second >= kMaxGroupFailures; });
}

// An error, so that it is logged at every level.
void Launcher::OnGroupLost(const nlohmann::json& fields) {
  const std::string group = TextOf(fields, "group");
  const std::string why = WhyLost(fields);
  Say(absl::StrCat("group ", group, " is lost and restarts: ", why));
  const bool final = fields.contains("final") && fields["final"] == true;
  group_failures_[group] += final ? kMaxGroupFailures : 1;
  // A group that fails while another one serves, did, or still loads is no reason to take that one from its
  // clients.
  if (last_epochs_.empty() && Hopeless() >= groups_) {
    failure_ = absl::UnavailableError(absl::StrCat("the workers can't start: ", why, " (see ", logs_, ")"));
  }
}

absl::Status Launcher::AnnounceIfReady() {
  if (announced_ || api_.empty() || groups_up_ == 0 || groups_up_ + Hopeless() < groups_)
    return absl::OkStatus();
  announced_ = true;
  if (groups_up_ < groups_) {
    Say(absl::StrCat(groups_up_, " of ", groups_, " groups serve; the others are tried again and again"));
  }
  return AnnounceReady(options_, api_, admin_);
}

}  // namespace quire::cli
