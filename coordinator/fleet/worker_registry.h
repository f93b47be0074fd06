// Which worker groups exist, and which of them may be given work. A group is one (id, epoch): a higher epoch
// replaces a lower one, and an epoch once replaced or fenced is refused for the life of the process (and, by
// EpochFile, for that of its successors), so that a zombie never comes back. Pure: time comes in as `now_us`,
// nothing is sent. Owned by Router and called under its mutex.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

enum class GroupState {
  kServing,    // may be given work
  kDraining,   // it was told to end: what runs there may end, nothing new comes
  kUnhealthy,  // its last heartbeat said that not all ranks complete steps
  kSilent,     // three heartbeats are missing
  kGone,       // its Register stream ended
};
const char* GroupStateName(GroupState state);

struct Group {
  v1::GroupInfo info;
  v1::HeartbeatRequest beat;  // the epoch's latest; before the first one: healthy and empty
  uint64_t registration = 0;  // of the Register stream that speaks for it
  int64_t registered_us = 0;  // the first Register of this epoch
  bool connected = false;
  bool must_register = false;
  int64_t last_heard_us = 0;
};

class WorkerRegistry {
 public:
  // What quire-worker takes: its --group-epoch. No file or group brings a higher one in.
  static constexpr uint64_t kMaxEpoch = std::numeric_limits<int32_t>::max();
  static constexpr int64_t kBeatMs = 250;
  static constexpr int64_t kMissedBeats = 3;
  static constexpr int64_t kSilenceUs = kMissedBeats * kBeatMs * 1000;
  // So long after its last word a group that is gone is no longer listed.
  static constexpr int64_t kForgetGoneUs = int64_t{3600} * 1'000'000;

  // No group has more blocks, or a context of more tokens than these hold: no count of either overflows.
  static constexpr uint64_t kMaxKvBlocks = uint64_t{1} << 32;

  // What a group may be called, whoever names it: parts of the names of files and of shared memory.
  static bool IsGroupId(const std::string& id);
  // InvalidArgument: the facts make no sense.
  static absl::Status CheckInfo(const v1::GroupInfo& info);

  // Returns the registration's number, to be given back to StreamEnded. InvalidArgument: the facts make no
  // sense; FailedPrecondition: the epoch is over. Registering the same epoch again replaces the older stream.
  absl::StatusOr<uint64_t> Register(const v1::GroupInfo& info, int64_t now_us);
  // False when that registration was replaced meanwhile: nothing changed.
  bool StreamEnded(const std::string& group_id, uint64_t registration);
  // False: unknown, fenced, disconnected or asked to, so the group must register again. The first beat after
  // a time in which no group was heard is a fresh start for all of them: a coordinator that slept judges
  // nobody.
  bool Beat(const v1::HeartbeatRequest& beat, int64_t now_us);

  // The groups of this text bundle shall register again, since only then they can be asked for it; until they
  // do they serve on.
  void AskToRegister(const std::string& bundle_digest);

  // Epochs of the group below `first_valid_epoch` are over.
  void Fence(const std::string& group_id, uint64_t first_valid_epoch);
  uint64_t FirstValidEpoch(const std::string& group_id) const;

  static GroupState StateOf(const Group& group, int64_t now_us);
  // Not listed any more, whether or not anybody has come meanwhile who made us forget it.
  static bool IsForgotten(const Group& group, int64_t now_us);
  const Group* Find(const std::string& group_id) const;
  const std::map<std::string, Group>& groups() const { return groups_; }

 private:
  void ExcuseIfAllWereSilent(int64_t now_us);
  void ForgetGone(int64_t now_us);

  std::map<std::string, Group> groups_;
  std::map<std::string, uint64_t> first_valid_epochs_;
  uint64_t last_registration_ = 0;
  int64_t last_beat_us_ = 0;  // of any group
};

}  // namespace quire::coordinator
