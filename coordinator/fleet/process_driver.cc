#include "coordinator/fleet/process_driver.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/exit_code.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "base/process/system_error.h"

namespace quire::coordinator {
namespace {

constexpr uint64_t kWakeEvent = UINT64_MAX, kErrorFilesEvent = UINT64_MAX - 1;
constexpr unsigned kRankBits = 16;
constexpr int kLogTailLines = 5;
constexpr int64_t kGraceRoundMs = 1'000;

bool AnyLives(const std::vector<Process>& ranks) {
  return std::any_of(ranks.begin(), ranks.end(), [](const Process& rank) { return rank.pidfd.valid(); });
}

// The last of these lines of a log that says what went wrong.
std::string LastError(const std::string& lines) {
  std::string last;
  for (const absl::string_view line : absl::StrSplit(lines, '\n')) {
    const nlohmann::json fields = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
    if (fields.is_object() && fields.value("level", nlohmann::json()) == "error") last = std::string(line);
  }
  return last;
}

std::string HowItEnded(const ProcessEnd& end) {
  return end.known() ? end.Text() : "ended; how, only the earlier coordinator that started it could tell";
}

}  // namespace

ProcessDriver::ProcessDriver(Config config, const Clock& clock, FenceSink fence)
    : config_(std::move(config)),
      files_{config_.data_dir},
      clock_(clock),
      fence_(std::move(fence)),
      error_files_(files_.LogFolder(), ".err", config_.max_error_bytes) {}

ProcessDriver::~ProcessDriver() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(&mutex_);
    quit_ = true;
  }
  Wake();
  thread_.join();
}

absl::Status ProcessDriver::Start() {
  std::error_code error;
  std::filesystem::create_directories(files_.LogFolder(), error);
  if (error)
    return absl::UnavailableError(absl::StrCat("can't create ", files_.LogFolder(), ": ", error.message()));
  QUIRE_RETURN_IF_ERROR(OpenEvents());
  QUIRE_ASSIGN_OR_RETURN(const FleetState state, LoadFleetState(files_.State()));
  {
    MutexLock lock(&mutex_);
    RestoreGroups(state);
    RemoveStaleShm();
    for (GroupRun& group : groups_) {
      if (group.wanted && group.phase == GroupPhase::kStopped) StartGroup(group);
    }
  }
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

absl::Status ProcessDriver::OpenEvents() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !wake_.valid() || !Watch(wake_.get(), kWakeEvent)) {
    return SystemError("can't watch the workers", errno);
  }
  const absl::Status guarded = error_files_.Start();
  if (guarded.ok()) {
    Watch(error_files_.fd(), kErrorFilesEvent);
  } else {  // what it guards against is rare: no reason not to serve
    Log(LogLevel::kWarn, "error_files_unbounded", "why", MessageOf(guarded));
  }
  return absl::OkStatus();
}

void ProcessDriver::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  Wake();
  MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &ProcessDriver::AllStopped));
}

void ProcessDriver::HurryStop() {
  {
    MutexLock lock(&mutex_);
    hurried_ = true;
    for (GroupRun& group : groups_) {
      if (group.phase != GroupPhase::kStopping) continue;
      SetGrace(group, std::min(group.grace_ms, config_.hurry_grace_ms));
    }
  }
  Wake();
}

std::vector<DrivenGroup> ProcessDriver::List() const {
  MutexLock lock(&mutex_);
  std::vector<DrivenGroup> list;
  for (const GroupRun& group : groups_) {
    if (!group.wanted) continue;
    DrivenGroup entry{group.id, group.epoch, group.phase, {}, group.restarts, 0, group.last_exit, {}};
    for (size_t rank = 0; rank < group.ranks.size(); ++rank) {
      entry.pids.push_back(group.ranks[rank].pidfd.valid() ? group.ranks[rank].pid : 0);
      entry.logs.push_back(files_.Log(group.id, rank));
    }
    if (group.phase == GroupPhase::kBackoff) {
      entry.restart_in_ms = std::max<int64_t>(0, (group.due_us - clock_.NowUs()) / 1000);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

// ---- the thread ----

void ProcessDriver::Loop() {
  std::array<epoll_event, 64> events;
  while (true) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), NextTimeoutMs());
    MutexLock lock(&mutex_);
    if (quit_) return;
    for (int i = 0; i < std::max(count, 0); ++i) OnEvent(events[static_cast<size_t>(i)].data.u64);
    for (GroupRun& group : groups_) {
      if (stopping_) StopGroup(group);
      if (group.due_us != 0 && group.due_us <= clock_.NowUs()) OnDue(group);
    }
  }
}

void ProcessDriver::OnEvent(uint64_t tag) {
  if (tag == kWakeEvent) {
    uint64_t ignored = 0;
    (void)!read(wake_.get(), &ignored, sizeof ignored);
  } else if (tag == kErrorFilesEvent) {
    error_files_.Check();
  } else {
    OnRankEnded(groups_[tag >> kRankBits], tag & ((1u << kRankBits) - 1));
  }
}

int ProcessDriver::NextTimeoutMs() const {
  MutexLock lock(&mutex_);
  int64_t next_us = INT64_MAX;
  for (const GroupRun& group : groups_) {
    if (group.due_us != 0) next_us = std::min(next_us, group.due_us);
  }
  if (next_us == INT64_MAX) return -1;
  const int64_t wait_ms = (next_us - clock_.NowUs() + 999) / 1000;
  return static_cast<int>(std::clamp<int64_t>(wait_ms, 0, INT_MAX));
}

void ProcessDriver::OnDue(GroupRun& group) {
  group.due_us = 0;
  if (group.phase == GroupPhase::kStopping) {
    OnGraceRound(group);
  } else if (group.phase == GroupPhase::kBackoff) {
    ++group.restarts;
    StartGroup(group);
  }
}

// A round counts for what was planned, however late it comes: the machine slept, or all of its processes were
// held, and the group had no more of that time than this one.
void ProcessDriver::OnGraceRound(GroupRun& group) {
  SetGrace(group, group.grace_ms - std::min(group.grace_ms, kGraceRoundMs));
  if (group.grace_ms > 0) return;
  group.due_us = 0;
  Log(LogLevel::kWarn, "group_killed", "group", group.id, "why", "it did not end in time after SIGTERM");
  SignalRanks(group, SIGKILL);
}

void ProcessDriver::SetGrace(GroupRun& group, int64_t grace_ms) const {
  group.grace_ms = grace_ms;
  group.due_us = clock_.NowUs() + std::min(grace_ms, kGraceRoundMs) * 1000;
}

void ProcessDriver::OnRankEnded(GroupRun& group, size_t rank) {
  if (rank >= group.ranks.size() || !group.ranks[rank].pidfd.valid()) return;
  const ProcessEnd end = Reap(group.ranks[rank]);
  group.ranks[rank].pidfd = Fd();
  if (group.phase == GroupPhase::kRunning) {
    const ServedRun run = Served(group);
    const bool final = end.exit_code && !RestartCanHelp(*end.exit_code);
    if (EndedAsTold(end, run)) {
      EndAsTold(group, rank);
    } else {
      FailGroup(group,
                {absl::StrCat("rank ", rank, ": ", HowItEnded(end)), rank, end.exit_code.has_value(), final},
                run);
    }
  } else if (group.phase == GroupPhase::kStopping && end.known() && !end.clean()) {
    SignalRanks(group, SIGKILL);  // they wait for it: it may have died before it took our SIGTERM
  }
  IfGoneGoOn(group);
}

void ProcessDriver::StartGroup(GroupRun& group) {
  ++group.epoch;
  group.shm_name = files_.ShmName(group.id, group.epoch);
  group.ranks.clear();
  group.phase = GroupPhase::kRunning;
  fence_(group.id, group.epoch);
  const absl::Status started = StartRanks(group);
  if (started.ok()) {
    Log(LogLevel::kInfo, "group_started", "group", group.id, "epoch", group.epoch, "ranks", config_.ranks);
    return;
  }
  FailGroup(group, {.why = MessageOf(started)}, {});
  IfGoneGoOn(group);
}

// Where it fails, the gates close and the children at them end without having run.
absl::Status ProcessDriver::StartRanks(GroupRun& group) {
  QUIRE_ASSIGN_OR_RETURN(group.fingerprint, Fingerprint(group));
  std::vector<StartGate> gates;
  for (size_t rank = 0; rank < static_cast<size_t>(config_.ranks); ++rank) {
    QUIRE_ASSIGN_OR_RETURN(StartGate gate, ForkRank(group, rank));
    gates.push_back(std::move(gate));
  }
  QUIRE_RETURN_IF_ERROR(Save());
  for (StartGate& gate : gates) QUIRE_RETURN_IF_ERROR(gate.Open());
  return absl::OkStatus();
}

absl::StatusOr<StartGate> ProcessDriver::ForkRank(GroupRun& group, size_t rank) {
  ChildSpec spec;
  spec.argv = config_.command(Identity(group, rank));
  QUIRE_ASSIGN_OR_RETURN(spec.argv[0], FindProgram(spec.argv[0]));
  QUIRE_ASSIGN_OR_RETURN(const Fd errors, OpenOutput(files_.Errors(group.id, rank)));
  spec.output = errors.get();
  QUIRE_ASSIGN_OR_RETURN(HeldChild child, ForkHeld(spec));
  if (!Watch(child.process.pidfd.get(), TagOf(group, rank))) {
    const absl::Status error = SystemError(absl::StrCat("can't watch rank ", rank), errno);
    SendSignal(child.process, SIGKILL);
    AwaitEnd(child.process);  // at its gate: it ends at once
    return error;
  }
  group.ranks.push_back(std::move(child.process));
  return std::move(child.gate);
}

ProcessDriver::ServedRun ProcessDriver::Served(const GroupRun& group) const {
  return config_.served ? config_.served(group.id, group.epoch) : ServedRun();
}

// One that never served didn't do its work, whatever it says: it would be started again and again. How an
// adopted rank ended nobody can say, but the group has.
bool ProcessDriver::EndedAsTold(const ProcessEnd& end, const ServedRun& run) {
  return run.ms > 0 && (end.clean() || (!end.known() && run.draining));
}

void ProcessDriver::EndAsTold(GroupRun& group, size_t rank) {
  group.last_exit = absl::StrCat("rank ", rank, " and its group ended as they were told");
  group.restart_at_once = true;
  EndEpoch(group);
  Log(LogLevel::kInfo, "group_ended", "group", group.id, "epoch", group.epoch, "why", group.last_exit);
}

void ProcessDriver::FailGroup(GroupRun& group, const Cause& cause, const ServedRun& run) {
  group.last_exit = cause.why;
  std::string log, last_line = cause.why;
  if (cause.rank) {
    log = files_.Errors(group.id, *cause.rank);
    last_line = LastLines(log, 1);
    if (last_line.empty()) {
      log = files_.Log(group.id, *cause.rank);
      // What one that was killed had logged, or an earlier run, says nothing of its end.
      if (cause.by_itself) last_line = LastError(LastLines(log, kLogTailLines));
    }
    absl::StrAppend(&group.last_exit, "; end of ", log, ":\n", LastLines(log, kLogTailLines));
  }
  group.backoff.CountRun(run.ms);
  if (cause.final) group.backoff.ExpectNoHelp();
  EndEpoch(group);
  Log(LogLevel::kError, "group_lost", "group", group.id, "epoch", group.epoch, "restarts", group.restarts,
      "why", cause.why, "log", log, "last_line", last_line, "final", cause.final);
}

// At once and without mercy: the other ranks can't go on, and a closed socket is what a gateway sees first.
void ProcessDriver::EndEpoch(GroupRun& group) {
  group.phase = GroupPhase::kDying;
  fence_(group.id, group.epoch + 1);
  SignalRanks(group, SIGKILL);
}

void ProcessDriver::StopGroup(GroupRun& group) {
  if (group.phase == GroupPhase::kBackoff) {
    group.phase = GroupPhase::kStopped;
    group.due_us = 0;
  } else if (group.phase == GroupPhase::kRunning) {
    group.phase = GroupPhase::kStopping;
    SetGrace(group, hurried_ ? config_.hurry_grace_ms : config_.stop_grace_ms);
    SignalRanks(group, SIGTERM);  // first: a group that hears of the fence before it drains is lost
    fence_(group.id, group.epoch + 1);
  }
}

void ProcessDriver::IfGoneGoOn(GroupRun& group) {
  if (AnyLives(group.ranks) || group.phase == GroupPhase::kBackoff) return;
  std::error_code error;
  std::filesystem::remove(FleetFiles::kShmFolder + group.shm_name, error);
  group.due_us = 0;
  if (stopping_ || !group.wanted) {
    group.phase = GroupPhase::kStopped;
  } else if (std::exchange(group.restart_at_once, false)) {
    StartGroup(group);
  } else {
    const int64_t delay_ms = group.backoff.TakeDelay();
    group.phase = GroupPhase::kBackoff;
    group.due_us = clock_.NowUs() + delay_ms * 1000;
    Log(LogLevel::kInfo, "group_restarts", "group", group.id, "in_ms", delay_ms);
  }
}

// ---- helpers ----

void ProcessDriver::SignalRanks(const GroupRun& group, int signal_number) const {
  for (const Process& rank : group.ranks) {
    if (rank.pidfd.valid()) SendSignal(rank, signal_number);
  }
}

bool ProcessDriver::Watch(int fd, uint64_t tag) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

uint64_t ProcessDriver::TagOf(const GroupRun& group, size_t rank) const {
  return (static_cast<uint64_t>(&group - groups_.data()) << kRankBits) | rank;
}

bool ProcessDriver::AllStopped() const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const GroupRun& group) { return group.phase == GroupPhase::kStopped; });
}

void ProcessDriver::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

RankIdentity ProcessDriver::Identity(const GroupRun& group, size_t rank) const {
  return {group.id,    group.epoch, static_cast<int>(rank), group.shm_name, files_.Log(group.id, rank),
          group.number};
}

}  // namespace quire::coordinator
