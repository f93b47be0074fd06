// What the driver writes down of its groups, and what a new one makes of a predecessor's.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "coordinator/fleet/process_driver.h"

namespace quire::coordinator {

absl::Status ProcessDriver::Save() {
  FleetState state{BootId(), PidNamespaceId(), {}};
  for (const GroupRun& group : groups_) {
    RecordedGroup record{group.id, group.epoch, group.shm_name, group.fingerprint, group.restarts, {}};
    for (const Process& rank : group.ranks) record.ranks.push_back({rank.pid, rank.start_time});
    state.groups.push_back(std::move(record));
  }
  return SaveFleetState(files_.State(), state);
}

absl::StatusOr<std::string> ProcessDriver::Fingerprint(const GroupRun& group) const {
  const auto& command = config_.lasting_command ? config_.lasting_command : config_.command;
  return FingerprintOf(command({group.id, 0, 0, "", "", group.number}));
}

void ProcessDriver::RestoreGroups(const FleetState& state) {
  for (int i = 0; i < config_.groups; ++i) {
    GroupRun& group = groups_.emplace_back(absl::StrCat("g", i), i, config_.backoff, /*is_wanted=*/true);
    const auto past = config_.past_epochs.find(group.id);
    if (past != config_.past_epochs.end()) group.epoch = past->second;
  }
  for (const RecordedGroup& record : state.groups) {
    auto group =
        std::find_if(groups_.begin(), groups_.end(), [&](const auto& g) { return g.id == record.id; });
    if (group == groups_.end()) {
      groups_.emplace_back(record.id, -1, config_.backoff, /*is_wanted=*/false);
      group = std::prev(groups_.end());
    }
    if (group->shm_name.empty()) TakeOver(state, record, *group);  // a group is recorded once
  }
}

void ProcessDriver::TakeOver(const FleetState& state, const RecordedGroup& record, GroupRun& group) {
  group.epoch = std::max(group.epoch, record.epoch);  // the next start takes a higher one
  group.restarts = record.restarts;
  group.shm_name = files_.ShmName(record.id, record.epoch);
  Leftovers left = FindLeftovers(state, record, files_);
  left_some_ = left_some_ || left.some_left_alone;
  for (Process& rank : left.ranks) {
    group.ranks.push_back(std::move(rank));
    if (Watch(group.ranks.back().pidfd.get(), TagOf(group, group.ranks.size() - 1))) continue;
    Log(LogLevel::kError, "rank_unwatched", "pid", group.ranks.back().pid, "why", std::strerror(errno));
    group.ranks.pop_back();
    left.whole = false;
  }
  const bool as_wanted = group.wanted && left.whole && group.epoch == record.epoch &&
                         record.ranks.size() == static_cast<size_t>(config_.ranks);
  const absl::StatusOr<std::string> fingerprint = as_wanted ? Fingerprint(group) : "";
  // Where the program is missing, nothing could be started in its place: what runs is better than nothing.
  if (as_wanted && record.fingerprint == fingerprint.value_or(record.fingerprint)) {
    group.fingerprint = record.fingerprint;
    group.phase = GroupPhase::kRunning;
    fence_(group.id, group.epoch);
    Log(LogLevel::kInfo, "group_adopted", "group", group.id, "epoch", group.epoch, "program",
        fingerprint.ok() ? "as it was" : MessageOf(fingerprint.status()));
    return;
  }
  fence_(group.id, group.epoch + 1);
  if (group.ranks.empty()) return;
  group.phase = GroupPhase::kDying;
  group.restart_at_once = true;
  SignalRanks(group, SIGKILL);
  Log(LogLevel::kInfo, "leftover_killed", "group", group.id, "epoch", group.epoch, "ranks",
      group.ranks.size());
}

void ProcessDriver::RemoveStaleShm() {
  const std::string prefix = files_.ShmPrefix();
  std::error_code error;
  std::filesystem::directory_iterator entry(FleetFiles::kShmFolder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool adopted = std::any_of(groups_.begin(), groups_.end(), [&](const GroupRun& group) {
      return group.phase == GroupPhase::kRunning && group.shm_name == name;
    });
    std::error_code failed;  // the next one is removed all the same
    if (absl::StartsWith(name, prefix) && !adopted) std::filesystem::remove(entry->path(), failed);
  }
}

absl::Status EndRecordedGroups(const std::string& data_dir) {
  const SystemClock clock;
  ProcessDriver::Config config;
  config.data_dir = data_dir;
  config.groups = 0;  // so none of them is wanted
  ProcessDriver driver(std::move(config), clock, [](const std::string&, uint64_t) {});
  QUIRE_RETURN_IF_ERROR(driver.Start());
  driver.Stop();
  if (!driver.left_some()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      data_dir,
      "/fleet.json records processes that run and can't be proven to be this folder's (the folder was "
      "moved or copied?): stop its quire-worker processes by hand"));
}

bool ProcessDriver::left_some() const {
  MutexLock lock(&mutex_);
  return left_some_;
}

}  // namespace quire::coordinator
