#include "cli/launcher.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/clock.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire::cli {
namespace {

constexpr int64_t kGatewayDrainMs = 330'000, kCoordinatorDrainMs = 30'000;
constexpr int kMaxGroupFailures = 3;  // before the first group ever served

int64_t NowMs() { return SystemClock().NowMs(); }

void Say(const std::string& line) {
  std::printf("quire: %s\n", line.c_str());
  std::fflush(stdout);
}

std::string PortOf(const std::string& address) { return address.substr(address.rfind(':') + 1); }

std::string NameOf(const std::string& folder) {
  return std::filesystem::weakly_canonical(folder).filename().string();
}

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The message of a log line, where it is one of our JSON lines; the line itself otherwise.
std::string Readable(const std::string& line) {
  const nlohmann::json fields = nlohmann::json::parse(line, nullptr, false);
  if (!fields.is_object()) return line;
  for (const char* key : {"error", "why", "message"}) {
    if (std::string text = TextOf(fields, key); !text.empty()) return text;
  }
  return line;
}

}  // namespace

Launcher::Launcher(ServeOptions options, std::string programs)
    : options_(std::move(options)),
      programs_(std::move(programs)),
      logs_(options_.data + "/logs"),
      run_(options_.data + "/run"),
      log_follower_(logs_,
                    [this](const std::string& file, const std::string& line) { OnLogLine(file, line); }),
      ready_follower_(run_,
                      [this](const std::string& file, const std::string& line) { OnReadyFile(file, line); }) {
  auto make = [this](const char* name) {
    return std::make_unique<ChildProcess>(name, absl::StrCat(programs_, "/quire-", name),
                                          absl::StrCat(logs_, "/", name, ".log"));
  };
  coordinator_.process = make("coordinator");
  coordinator_.args = [this] { return CoordinatorArgs(); };
  gateway_.process = make("gateway");
  gateway_.args = [this] { return GatewayArgs(); };
}

absl::Status Launcher::Run() {
  QUIRE_RETURN_IF_ERROR(CheckModel());
  QUIRE_RETURN_IF_ERROR(Prepare());
  Say(absl::StrCat("starting ", options_.groups, " group(s) of ", options_.tensor_parallel,
                   " rank(s); logs are in ", logs_));
  QUIRE_RETURN_IF_ERROR(coordinator_.process->Start(CoordinatorArgs(), NowMs()));
  absl::Status status;
  while (!stopping_ && status.ok()) {
    status = WaitForEvent();
    if (status.ok()) status = failure_;
    if (status.ok()) status = AnnounceIfReady();
  }
  Stop();
  return status;
}

// Worker and gateway themselves know what they can load, weights and text: they are asked before anything
// starts, so that a broken model is said at once.
absl::Status Launcher::CheckModel() const {
  if (!std::filesystem::is_directory(options_.model)) {
    return absl::NotFoundError(absl::StrCat("--model ", options_.model, ": there is no such folder"));
  }
  const std::string report =
      absl::StrCat(std::filesystem::temp_directory_path().string(), "/quire-check-", getpid());
  const auto ask = [&](const std::string& program, const std::vector<std::string>& args) -> absl::Status {
    ChildProcess check("model check", programs_ + "/" + program, report);
    QUIRE_RETURN_IF_ERROR(check.Start(args, NowMs()));
    const std::string end = check.Reap(NowMs());
    const std::string message = Readable(check.LastLogLine());
    std::filesystem::remove(report);
    if (end == "exit code 0") return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("--model ", options_.model, ": ", message));
  };
  std::vector<std::string> args = {"--check", "--model", options_.model, "--ranks",
                                   std::to_string(options_.tensor_parallel)};
  if (!options_.rope_scaling.empty()) args.push_back("--rope-scaling=" + options_.rope_scaling);
  QUIRE_RETURN_IF_ERROR(ask("quire-worker", args));
  return ask("quire-gateway", {"--check", options_.model});
}

absl::Status Launcher::Prepare() {
  std::error_code error;
  for (const std::string& folder : {options_.data, logs_, run_}) {
    std::filesystem::create_directories(folder, error);
    if (error)
      return absl::UnavailableError(absl::StrCat("can't make --data ", folder, ": ", error.message()));
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  QUIRE_RETURN_IF_ERROR(log_follower_.Start());
  QUIRE_RETURN_IF_ERROR(ready_follower_.Start());
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  return absl::OkStatus();
}

absl::Status Launcher::WaitForEvent() {
  pollfd fds[] = {{signal_fd_, POLLIN, 0},
                  {log_follower_.fd(), POLLIN, 0},
                  {ready_follower_.fd(), POLLIN, 0},
                  {coordinator_.process->pidfd(), POLLIN, 0},
                  {gateway_.process->pidfd(), POLLIN, 0}};
  int64_t timeout_ms = -1;
  for (const Service* service : {&coordinator_, &gateway_}) {
    if (service->restart_at_ms == 0) continue;
    const int64_t wait_ms = std::max<int64_t>(0, service->restart_at_ms - NowMs());
    timeout_ms = timeout_ms < 0 ? wait_ms : std::min(timeout_ms, wait_ms);
  }
  if (poll(fds, std::size(fds), static_cast<int>(timeout_ms)) < 0) return absl::OkStatus();  // EINTR
  if (fds[0].revents != 0) TakeSignal();
  if (fds[1].revents != 0) log_follower_.ReadNew();
  if (fds[2].revents != 0) ready_follower_.ReadNew();
  if (fds[3].revents != 0) QUIRE_RETURN_IF_ERROR(Reap(coordinator_));
  if (fds[4].revents != 0) QUIRE_RETURN_IF_ERROR(Reap(gateway_));
  QUIRE_RETURN_IF_ERROR(RestartIfDue(coordinator_));
  return RestartIfDue(gateway_);
}

void Launcher::TakeSignal() {
  signalfd_siginfo taken;
  stopping_ = read(signal_fd_, &taken, sizeof(taken)) == sizeof(taken);
}

absl::Status Launcher::Reap(Service& service) {
  ChildProcess& process = *service.process;
  const std::string end = process.Reap(NowMs());
  if (!service.was_ready) {
    return absl::UnavailableError(
        absl::StrCat("the ", process.name(), " can't start (", end, "): ", Readable(process.LastLogLine())));
  }
  Say(absl::StrCat("the ", process.name(), " ended (", end, "); restarting it in ", process.backoff_ms(),
                   " ms"));
  service.restart_at_ms = NowMs() + process.backoff_ms();
  return absl::OkStatus();
}

absl::Status Launcher::RestartIfDue(Service& service) {
  if (service.restart_at_ms == 0 || NowMs() < service.restart_at_ms) return absl::OkStatus();
  service.restart_at_ms = 0;
  return service.process->Start(service.args(), NowMs());
}

std::vector<std::string> Launcher::CoordinatorArgs() const {
  const bool known = !coordinator_grpc_.empty();
  std::vector<std::string> args = {
      "--data=" + options_.data,
      "--port=" + (known ? PortOf(coordinator_grpc_) : "0"),
      "--admin-port=" + (known ? PortOf(admin_) : std::to_string(options_.admin_port)),
      "--ready-file=" + run_ + "/coordinator",
      "--model=" + options_.model,
      "--model-name=" + (options_.model_name.empty() ? NameOf(options_.model) : options_.model_name),
      "--tensor-parallel=" + std::to_string(options_.tensor_parallel),
      "--groups=" + std::to_string(options_.groups),
      "--worker-binary=" + programs_ + "/quire-worker",
      "--log-level=" + options_.log_level};
  for (std::string& flag : options_.PassedOn()) args.push_back(std::move(flag));
  return args;
}

std::vector<std::string> Launcher::GatewayArgs() const {
  return {"--host=" + options_.host,
          "--port=" + (api_.empty() ? std::to_string(options_.port) : PortOf(api_)),
          "--coordinator=" + coordinator_grpc_,
          "--pepper-file=" + options_.data + "/pepper",
          "--ready-file=" + run_ + "/gateway",
          "--log-level=" + options_.log_level};
}

void Launcher::OnReadyFile(const std::string& file, const std::string& line) {
  const nlohmann::json ready = nlohmann::json::parse(line, nullptr, false);
  if (!ready.is_object()) return;
  if (file == "coordinator") {
    coordinator_grpc_ = TextOf(ready, "grpc");
    admin_ = TextOf(ready, "admin");
    coordinator_.was_ready = true;
    if (!gateway_.was_ready && !gateway_.process->running()) {
      failure_.Update(gateway_.process->Start(GatewayArgs(), NowMs()));
    }
  } else if (file == "gateway") {
    api_ = TextOf(ready, "api");
    gateway_.was_ready = true;
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
  } else if (file == "coordinator.log") {
    OnGroupEvent(event, fields);
  }
}

void Launcher::OnGroupEvent(const std::string& event, const nlohmann::json& fields) {
  const std::string group = TextOf(fields, "group");
  if (event == "group_serving") {
    if (!groups_up_.insert(group).second) return;
    Say(absl::StrCat("group ", group, " serves"));
  } else if (event == "group_lost") {
    groups_up_.erase(group);
    Say(absl::StrCat("group ", group, " is lost and restarts: ", Readable(TextOf(fields, "last_line"))));
    if (!announced_ && ++group_failures_ >= kMaxGroupFailures) {
      failure_ = absl::UnavailableError(absl::StrCat(
          "the workers can't start: ", Readable(TextOf(fields, "last_line")), " (see ", logs_, ")"));
    }
  }
}

absl::Status Launcher::AnnounceIfReady() {
  if (announced_ || api_.empty() || groups_up_.size() < static_cast<size_t>(options_.groups)) {
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string content, ReadWholeFile(options_.data + "/keys.json"));
  const nlohmann::json keys = nlohmann::json::parse(content, nullptr, false);
  const std::string url = "http://" + api_, admin_url = "http://" + admin_;
  const std::string model = options_.model_name.empty() ? NameOf(options_.model) : options_.model_name;
  if (!options_.ready_file.empty()) {
    nlohmann::json ready;
    ready["url"] = url;
    ready["api_key"] = TextOf(keys, "api_key");
    ready["admin_url"] = admin_url;
    ready["admin_key"] = TextOf(keys, "admin_key");
    ready["model"] = model;
    QUIRE_RETURN_IF_ERROR(WriteFileAtomically(options_.ready_file, ready.dump() + "\n", 0600));
  }
  announced_ = true;
  Say(absl::StrCat("ready: ", url, "/v1  model ", model));
  Say(absl::StrCat("API key: ", TextOf(keys, "api_key"), "  (admin: ", admin_url, ", keys in ", options_.data,
                   "/keys.json)"));
  Say(absl::StrCat("try: curl ", url, "/v1/chat/completions -H 'Authorization: Bearer ",
                   TextOf(keys, "api_key"), "' -H 'Content-Type: application/json' -d '{\"model\":\"", model,
                   "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'"));
  return absl::OkStatus();
}

// A second signal ends the wait.
void Launcher::StopService(Service& service, int64_t limit_ms) {
  ChildProcess& process = *service.process;
  if (!process.running()) return;
  process.Signal(SIGTERM);
  pollfd fds[] = {{process.pidfd(), POLLIN, 0}, {signal_fd_, POLLIN, 0}};
  if (poll(fds, std::size(fds), static_cast<int>(limit_ms)) == 0 || fds[0].revents == 0)
    process.Signal(SIGKILL);
  process.Reap(NowMs());
}

void Launcher::Stop() {
  if (stopping_) Say("stopping: open requests are finished first");
  StopService(gateway_, kGatewayDrainMs);
  StopService(coordinator_, kCoordinatorDrainMs);
}

}  // namespace quire::cli
