#include "coordinator/fleet/worker_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

constexpr size_t kMaxGroupIdBytes = 128;
constexpr size_t kDigestBytes = 32;

}  // namespace

bool WorkerRegistry::IsGroupId(const std::string& id) {
  return !id.empty() && id.size() <= kMaxGroupIdBytes &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::Status WorkerRegistry::CheckInfo(const v1::GroupInfo& info) {
  if (!IsGroupId(info.group_id())) {
    return absl::InvalidArgumentError("group_id must be 1..128 letters, digits, '-', '_' or '.'");
  }
  if (info.epoch() > kMaxEpoch) {
    return absl::InvalidArgumentError(absl::StrCat("an epoch is at most ", kMaxEpoch));
  }
  if (info.address().empty() || info.model().empty() || info.ranks() == 0) {
    return absl::InvalidArgumentError("a group needs an address, a model and at least one rank");
  }
  if (info.block_tokens() != kBlockTokens || info.kv_blocks() == 0 || info.kv_blocks() > kMaxKvBlocks) {
    return absl::InvalidArgumentError(
        absl::StrCat("a group needs 1..", kMaxKvBlocks, " kv_blocks, of ", kBlockTokens, " tokens each"));
  }
  if (info.max_context() == 0 || info.max_context() > kMaxKvBlocks * kBlockTokens ||
      info.plain_context() > info.max_context()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a group needs 0 < max_context <= ", kMaxKvBlocks * kBlockTokens,
                     " and plain_context <= max_context"));
  }
  if (info.bundle_digest().size() != kDigestBytes) {
    return absl::InvalidArgumentError("bundle_digest must be the 32 bytes of a SHA-256");
  }
  return absl::OkStatus();
}

const char* GroupStateName(GroupState state) {
  switch (state) {
    case GroupState::kServing:
      return "serving";
    case GroupState::kDraining:
      return "draining";
    case GroupState::kUnhealthy:
      return "unhealthy";
    case GroupState::kSilent:
      return "silent";
    case GroupState::kGone:
      return "gone";
  }
  return "unknown";
}

absl::StatusOr<uint64_t> WorkerRegistry::Register(const v1::GroupInfo& info, int64_t now_us) {
  QUIRE_RETURN_IF_ERROR(CheckInfo(info));
  const uint64_t first_valid = FirstValidEpoch(info.group_id());
  if (info.epoch() < first_valid) {
    return absl::FailedPreconditionError(absl::StrCat("epoch ", info.epoch(), " of group ", info.group_id(),
                                                      " is over (", first_valid,
                                                      " is the first valid one): exit"));
  }
  const Group* known = Find(info.group_id());
  if (known != nullptr && known->info.epoch() == info.epoch() &&
      known->info.bundle_digest() != info.bundle_digest()) {
    return absl::FailedPreconditionError(absl::StrCat("epoch ", info.epoch(), " of group ", info.group_id(),
                                                      " had other text files: start it with a higher "
                                                      "--group-epoch"));
  }
  ForgetGone(now_us);
  Fence(info.group_id(), info.epoch());
  const bool is_new = Find(info.group_id()) == nullptr;  // an older epoch has just been fenced away
  Group& group = groups_[info.group_id()];
  if (is_new) {
    group.registered_us = now_us;
    group.beat.set_healthy(true);
  }
  group.info = info;
  group.registration = ++last_registration_;
  group.connected = true;
  group.must_register = false;
  group.last_heard_us = now_us;
  return group.registration;
}

bool WorkerRegistry::StreamEnded(const std::string& group_id, uint64_t registration) {
  auto it = groups_.find(group_id);
  if (it == groups_.end() || it->second.registration != registration) return false;
  it->second.connected = false;
  return true;
}

bool WorkerRegistry::Beat(const v1::HeartbeatRequest& beat, int64_t now_us) {
  auto it = groups_.find(beat.group_id());
  if (it == groups_.end() || !it->second.connected || it->second.info.epoch() != beat.epoch()) return false;
  ExcuseIfAllWereSilent(now_us);
  it->second.beat = beat;
  it->second.last_heard_us = now_us;
  const bool known = !it->second.must_register;
  ForgetGone(now_us);
  return known;
}

void WorkerRegistry::AskToRegister(const std::string& bundle_digest) {
  for (auto& [id, group] : groups_) {
    if (group.info.bundle_digest() == bundle_digest) group.must_register = true;
  }
}

// Nobody was heard for so long: not the groups, this process slept (or the host did).
void WorkerRegistry::ExcuseIfAllWereSilent(int64_t now_us) {
  if (now_us - std::exchange(last_beat_us_, now_us) <= kSilenceUs) return;
  for (auto& [id, group] : groups_) {
    if (group.connected) group.last_heard_us = now_us;
  }
}

void WorkerRegistry::ForgetGone(int64_t now_us) {
  std::erase_if(groups_, [now_us](const auto& entry) { return IsForgotten(entry.second, now_us); });
}

bool WorkerRegistry::IsForgotten(const Group& group, int64_t now_us) {
  return !group.connected && now_us - group.last_heard_us > kForgetGoneUs;
}

void WorkerRegistry::Fence(const std::string& group_id, uint64_t first_valid_epoch) {
  uint64_t& first_valid = first_valid_epochs_[group_id];
  first_valid = std::max(first_valid, first_valid_epoch);
  auto it = groups_.find(group_id);
  if (it != groups_.end() && it->second.info.epoch() < first_valid) groups_.erase(it);
}

uint64_t WorkerRegistry::FirstValidEpoch(const std::string& group_id) const {
  auto it = first_valid_epochs_.find(group_id);
  return it == first_valid_epochs_.end() ? 0 : it->second;
}

GroupState WorkerRegistry::StateOf(const Group& group, int64_t now_us) {
  if (!group.connected) return GroupState::kGone;
  if (now_us - group.last_heard_us > kSilenceUs) return GroupState::kSilent;
  if (group.beat.draining()) return GroupState::kDraining;
  return group.beat.healthy() ? GroupState::kServing : GroupState::kUnhealthy;
}

const Group* WorkerRegistry::Find(const std::string& group_id) const {
  auto it = groups_.find(group_id);
  return it == groups_.end() ? nullptr : &it->second;
}

}  // namespace quire::coordinator
