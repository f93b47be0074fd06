#include "coordinator/fleet/process_driver.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

constexpr uint64_t kWakeEvent = UINT64_MAX;
constexpr unsigned kRankBits = 16;
constexpr int kLogTailLines = 5;
const std::string kShmFolder = "/dev/shm/";

std::string StatePath(const std::string& data_dir) { return data_dir + "/fleet.json"; }

bool AnyLives(const std::vector<Process>& ranks) {
  return std::any_of(ranks.begin(), ranks.end(), [](const Process& rank) { return rank.pidfd.valid(); });
}

}  // namespace

const char* GroupPhaseName(GroupPhase phase) {
  switch (phase) {
    case GroupPhase::kRunning:
      return "running";
    case GroupPhase::kDying:
      return "dying";
    case GroupPhase::kBackoff:
      return "backoff";
    case GroupPhase::kStopping:
      return "stopping";
    case GroupPhase::kStopped:
      return "stopped";
  }
  return "unknown";
}

ProcessDriver::ProcessDriver(Config config, const Clock& clock, FenceSink fence)
    : config_(std::move(config)), clock_(clock), fence_(std::move(fence)) {}

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
  QUIRE_RETURN_IF_ERROR(OpenEvents());
  std::error_code error;
  std::filesystem::create_directories(config_.data_dir + "/logs", error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("can't create ", config_.data_dir, "/logs: ", error.message()));
  QUIRE_ASSIGN_OR_RETURN(const FleetState state, LoadFleetState(StatePath(config_.data_dir)));
  {
    MutexLock lock(&mutex_);
    RestoreGroups(state);
    RemoveStaleShm();
    for (GroupRun& group : groups_) {
      if (group.phase == GroupPhase::kStopped) StartGroup(group);
    }
  }
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

absl::Status ProcessDriver::OpenEvents() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeEvent;
  if (!epoll_.valid() || !wake_.valid() || epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return absl::InternalError(absl::StrCat("can't set up epoll: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

void ProcessDriver::RestoreGroups(const FleetState& state) {
  for (int i = 0; i < config_.groups; ++i) {
    groups_.emplace_back(absl::StrCat("g", i), config_.backoff);
  }
  const bool same_boot = state.boot_id == BootId();
  for (const RecordedGroup& record : state.groups) {
    auto group =
        std::find_if(groups_.begin(), groups_.end(), [&](const auto& g) { return g.id == record.id; });
    const bool wanted = group != groups_.end();
    if (wanted) {
      group->epoch = record.epoch;  // the next start takes a higher one
      group->restarts = record.restarts;
    }
    if (!same_boot || (wanted && Adopt(record, *group))) continue;
    KillByArgument(
        record.shm_name);  // whatever its pids are: a crash may have come before they were written down
    fence_(record.id, record.epoch + 1);
  }
}

bool ProcessDriver::Adopt(const RecordedGroup& record, GroupRun& group) {
  if (record.ranks.size() != static_cast<size_t>(config_.ranks) ||
      record.fingerprint != Fingerprint(record.id)) {
    return false;
  }
  std::vector<Process> ranks;
  for (const RecordedProcess& recorded : record.ranks) {
    std::optional<Process> living = FindLiving(recorded.pid, recorded.start_time);
    if (!living) return false;
    ranks.push_back(*std::move(living));
  }
  group.ranks = std::move(ranks);
  group.shm_name = record.shm_name;
  group.phase = GroupPhase::kRunning;
  group.started_us = clock_.NowUs();
  for (size_t rank = 0; rank < group.ranks.size(); ++rank) {
    if (!WatchRank(group, rank)) return false;
  }
  fence_(group.id, group.epoch);
  Log(LogLevel::kInfo, "group_adopted", "group", group.id, "epoch", group.epoch);
  return true;
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

std::vector<DrivenGroup> ProcessDriver::List() const {
  MutexLock lock(&mutex_);
  std::vector<DrivenGroup> list;
  for (const GroupRun& group : groups_) {
    DrivenGroup entry{group.id, group.epoch, group.phase, {}, group.restarts, 0, group.last_exit, {}};
    for (size_t rank = 0; rank < group.ranks.size(); ++rank) {
      entry.pids.push_back(group.ranks[rank].pidfd.valid() ? group.ranks[rank].pid : 0);
      entry.logs.push_back(LogPath(group.id, rank));
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
    for (int i = 0; i < std::max(count, 0); ++i) {
      const uint64_t tag = events[static_cast<size_t>(i)].data.u64;
      if (tag == kWakeEvent) {
        uint64_t ignored = 0;
        (void)!read(wake_.get(), &ignored, sizeof ignored);
      } else {
        OnRankEnded(groups_[tag >> kRankBits], tag & ((1u << kRankBits) - 1));
      }
    }
    for (GroupRun& group : groups_) {
      if (stopping_) StopGroup(group);
      if (group.due_us != 0 && group.due_us <= clock_.NowUs()) OnDue(group);
    }
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
    Log(LogLevel::kWarn, "group_killed", "group", group.id, "why", "it did not end in time after SIGTERM");
    SignalRanks(group, SIGKILL);
  } else if (group.phase == GroupPhase::kBackoff) {
    ++group.restarts;
    StartGroup(group);
  }
}

void ProcessDriver::OnRankEnded(GroupRun& group, size_t rank) {
  if (rank >= group.ranks.size() || !group.ranks[rank].pidfd.valid()) return;
  const std::string how = Reap(group.ranks[rank]);
  group.ranks[rank].pidfd = Fd();
  if (group.phase == GroupPhase::kRunning)
    FailGroup(group, absl::StrCat("rank ", rank, ": ", how), LogPath(group.id, rank));
  IfGoneScheduleRestart(group);
}

void ProcessDriver::StartGroup(GroupRun& group) {
  ++group.epoch;
  group.shm_name = absl::StrCat(ShmPrefix(), group.id, "-", group.epoch);
  group.ranks.clear();
  group.phase = GroupPhase::kRunning;
  group.started_us = clock_.NowUs();
  fence_(group.id, group.epoch);
  absl::Status started = Save();
  if (started.ok()) started = StartRanks(group);
  if (started.ok()) started = Save();
  if (started.ok()) {
    Log(LogLevel::kInfo, "group_started", "group", group.id, "epoch", group.epoch, "ranks", config_.ranks);
    return;
  }
  FailGroup(group, MessageOf(started), "");
  IfGoneScheduleRestart(group);
}

absl::Status ProcessDriver::StartRanks(GroupRun& group) {
  for (int rank = 0; rank < config_.ranks; ++rank) {
    const std::string log = LogPath(group.id, static_cast<size_t>(rank));
    std::rename(log.c_str(), (log + ".1").c_str());  // keeps what the previous epoch said
    QUIRE_ASSIGN_OR_RETURN(Process process,
                           StartProcess(config_.command({group.id, group.epoch, rank, group.shm_name}), log));
    group.ranks.push_back(std::move(process));
    if (!WatchRank(group, static_cast<size_t>(rank))) {
      return absl::InternalError(absl::StrCat("can't watch rank ", rank, ": ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

// At once and without mercy: the other ranks can't go on, and a closed socket is what a gateway sees first.
void ProcessDriver::FailGroup(GroupRun& group, const std::string& why, const std::string& log) {
  group.phase = GroupPhase::kDying;
  group.last_exit = why;
  if (!log.empty()) absl::StrAppend(&group.last_exit, "; end of ", log, ":\n", LastLines(log, kLogTailLines));
  fence_(group.id, group.epoch + 1);
  SignalRanks(group, SIGKILL);
  Log(LogLevel::kError, "group_lost", "group", group.id, "epoch", group.epoch, "restarts", group.restarts,
      "why", why, "log", log, "last_line", log.empty() ? why : LastLines(log, 1));
}

void ProcessDriver::StopGroup(GroupRun& group) {
  if (group.phase == GroupPhase::kBackoff) {
    group.phase = GroupPhase::kStopped;
    group.due_us = 0;
  } else if (group.phase == GroupPhase::kRunning) {
    group.phase = GroupPhase::kStopping;
    group.due_us = clock_.NowUs() + config_.stop_grace_ms * 1000;
    fence_(group.id, group.epoch + 1);
    SignalRanks(group, SIGTERM);
  }
}

void ProcessDriver::IfGoneScheduleRestart(GroupRun& group) {
  if (AnyLives(group.ranks) || group.phase == GroupPhase::kBackoff) return;
  std::error_code error;
  std::filesystem::remove(kShmFolder + group.shm_name, error);
  if (stopping_) {
    group.phase = GroupPhase::kStopped;
    group.due_us = 0;
    return;
  }
  const int64_t now_us = clock_.NowUs();
  const int64_t delay_ms = group.backoff.DelayAfterRun((now_us - group.started_us) / 1000);
  group.phase = GroupPhase::kBackoff;
  group.due_us = now_us + delay_ms * 1000;
  Log(LogLevel::kInfo, "group_restarts", "group", group.id, "in_ms", delay_ms);
}

// ---- helpers ----

void ProcessDriver::SignalRanks(const GroupRun& group, int signal_number) const {
  for (const Process& rank : group.ranks) {
    if (rank.pidfd.valid()) SendSignal(rank, signal_number);
  }
}

bool ProcessDriver::WatchRank(const GroupRun& group, size_t rank) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = (static_cast<uint64_t>(&group - groups_.data()) << kRankBits) | rank;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, group.ranks[rank].pidfd.get(), &event) == 0;
}

absl::Status ProcessDriver::Save() {
  FleetState state{BootId(), {}};
  for (const GroupRun& group : groups_) {
    RecordedGroup record{group.id, group.epoch, group.shm_name, Fingerprint(group.id), group.restarts, {}};
    for (const Process& rank : group.ranks) record.ranks.push_back({rank.pid, rank.start_time});
    state.groups.push_back(std::move(record));
  }
  return SaveFleetState(StatePath(config_.data_dir), state);
}

bool ProcessDriver::AllStopped() const {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const GroupRun& group) { return group.phase == GroupPhase::kStopped; });
}

void ProcessDriver::Wake() {
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

std::string ProcessDriver::LogPath(const std::string& group_id, size_t rank) const {
  return absl::StrCat(config_.data_dir, "/logs/", group_id, "-rank", rank, ".log");
}

std::string ProcessDriver::ShmPrefix() const {
  std::error_code error;
  const auto path = std::filesystem::weakly_canonical(config_.data_dir, error);
  return absl::StrCat("quire-", ToHex(Sha256(path.string())).substr(0, 8), "-");
}

std::string ProcessDriver::Fingerprint(const std::string& group_id) const {
  return ToHex(Sha256(absl::StrJoin(config_.command({group_id, 0, 0, ""}), absl::string_view("\0", 1))));
}

void ProcessDriver::RemoveStaleShm() {
  const std::string prefix = ShmPrefix();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kShmFolder, error)) {
    const std::string name = entry.path().filename().string();
    const bool adopted = std::any_of(groups_.begin(), groups_.end(), [&](const GroupRun& group) {
      return group.phase == GroupPhase::kRunning && group.shm_name == name;
    });
    if (absl::StartsWith(name, prefix) && !adopted) std::filesystem::remove(entry.path(), error);
  }
}

}  // namespace quire::coordinator
