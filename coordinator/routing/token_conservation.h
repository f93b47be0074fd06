// Holds what gateways say they delivered against what the groups say they emitted: a group that has delivered
// more than it emitted means that a gateway invents tokens or a group loses count (docs/LEDGER.md, Audit).
// Soft state, per group epoch. Pure; owned by Router and called under its mutex.
#pragma once

#include <cstdint>
#include <map>

#include "coordinator/routing/reservation_book.h"

namespace quire::coordinator {

class TokenConservation {
 public:
  // A request was settled with this many delivered positions that the group made.
  void Delivered(const GroupEpoch& group, uint64_t positions) { groups_[group].delivered += positions; }
  // `emitted` is the group's counter in a heartbeat. False, once per epoch: more was delivered before the
  // last heartbeat, so surely before this one's count was taken, than the group had emitted by now.
  bool Beat(const GroupEpoch& group, uint64_t emitted);
  // The epoch is over.
  void Forget(const GroupEpoch& group) { groups_.erase(group); }

 private:
  struct Count {
    uint64_t delivered = 0;
    uint64_t delivered_by_last_beat = 0;
    bool alarmed = false;
  };
  std::map<GroupEpoch, Count> groups_;
};

}  // namespace quire::coordinator
