// The router's groups: who registers, beats, is fenced, and is watched for what it uses and emits.
#include <algorithm>

#include "base/core/log.h"
#include "base/core/status.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {
namespace {

constexpr int kDriftBeats = 8;          // two seconds
constexpr uint64_t kDriftFraction = 4;  // alarm above a quarter of the group

}  // namespace

GroupEpoch EpochOf(const Group& group) { return {group.info.group_id(), group.info.epoch()}; }

uint64_t CapacityOf(const Group& group) {
  return group.beat.kv_blocks_total() > 0 ? group.beat.kv_blocks_total() : group.info.kv_blocks();
}

absl::StatusOr<uint64_t> Router::Register(const v1::GroupInfo& info) {
  Answers answers;
  uint64_t registration = 0;
  {
    MutexLock lock(&mutex_);
    const Group* known = registry_.Find(info.group_id());
    const std::optional<GroupEpoch> before = known ? std::optional(EpochOf(*known)) : std::nullopt;
    QUIRE_ASSIGN_OR_RETURN(registration, registry_.Register(info, clock_.NowUs()));
    if (before && before->epoch != info.epoch()) ForgetEpoch(*before);
    drifting_beats_[info.group_id()] = 0;
    answers = ServeQueue();
  }
  Log(LogLevel::kInfo, "group_serving", "group", info.group_id(), "epoch", info.epoch(), "model",
      info.model(), "kv_blocks", info.kv_blocks());
  Deliver(answers);
  return registration;
}

void Router::StreamEnded(const std::string& group_id, uint64_t registration) {
  {
    MutexLock lock(&mutex_);
    if (!registry_.StreamEnded(group_id, registration)) return;
  }
  Log(LogLevel::kWarn, "group_gone", "group", group_id);
}

bool Router::Beat(const v1::HeartbeatRequest& beat) {
  Answers answers;
  LogLines lines;
  {
    MutexLock lock(&mutex_);
    if (!registry_.Beat(beat, clock_.NowUs())) return false;
    book_.Sweep(AwakeUs());
    const Group& group = *registry_.Find(beat.group_id());
    WatchDrift(group, lines);
    WatchTokens(group, lines);
    answers = ServeQueue();
  }
  Deliver(answers);
  for (const auto& write : lines) write();
  return true;
}

void Router::AskToRegister(const std::string& bundle_digest) {
  MutexLock lock(&mutex_);
  registry_.AskToRegister(bundle_digest);
}

void Router::Fence(const std::string& group_id, uint64_t first_valid_epoch) {
  MutexLock lock(&mutex_);
  const Group* known = registry_.Find(group_id);
  if (known != nullptr && known->info.epoch() < first_valid_epoch) ForgetEpoch(EpochOf(*known));
  registry_.Fence(group_id, first_valid_epoch);
}

uint64_t Router::FirstValidEpoch(const std::string& group_id) const {
  MutexLock lock(&mutex_);
  return registry_.FirstValidEpoch(group_id);
}

// A group that uses far more than we reserved for it serves somebody we don't know of, or leaks.
void Router::WatchDrift(const Group& group, LogLines& lines) {
  const uint64_t used =
      group.beat.kv_blocks_total() - std::min(group.beat.kv_blocks_free(), group.beat.kv_blocks_total());
  const uint64_t reserved = book_.UseOf(EpochOf(group)).blocks;
  int& beats = drifting_beats_[group.info.group_id()];
  beats = used > reserved + CapacityOf(group) / kDriftFraction ? beats + 1 : 0;
  if (beats != kDriftBeats) return;
  ++drift_alarms_;
  lines.push_back([id = group.info.group_id(), used, reserved] {
    Log(LogLevel::kWarn, "kv_drift", "group", id, "used_blocks", used, "reserved_blocks", reserved);
  });
}

void Router::WatchTokens(const Group& group, LogLines& lines) {
  if (tokens_.Beat(EpochOf(group), group.beat.emitted_tokens())) return;
  ++conservation_alarms_;
  lines.push_back([epoch = EpochOf(group), emitted = group.beat.emitted_tokens()] {
    Log(LogLevel::kError, "more_delivered_than_emitted", "group", epoch.id, "epoch", epoch.epoch, "emitted",
        emitted);
  });
}

void Router::ForgetEpoch(const GroupEpoch& group) {
  prefixes_.Forget(group);
  tokens_.Forget(group);
}

RouterReport Router::Report() const {
  MutexLock lock(&mutex_);
  const int64_t now_us = clock_.NowUs();
  RouterReport report;
  for (const auto& [id, group] : registry_.groups()) {
    if (WorkerRegistry::IsForgotten(group, now_us)) continue;
    report.groups.push_back({group, WorkerRegistry::StateOf(group, now_us), book_.UseOf(EpochOf(group)),
                             CapacityOf(group), (now_us - group.last_heard_us) / 1000});
  }
  report.open_requests = book_.size();
  report.waiting = queue_.size();
  report.oldest_wait_us = queue_.OldestAgeUs(AwakeUs());
  report.drift_alarms = drift_alarms_;
  report.conservation_alarms = conservation_alarms_;
  return report;
}

}  // namespace quire::coordinator
