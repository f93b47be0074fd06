// What SIGTERM and SIGINT, which main has blocked, mean for a rank that follows: they are meant for the
// group, so rank 0 is asked to drain it, and needs this rank to finish its requests. However late it is, no
// clock runs here: if it is dead, silent or overdue, the group's watch says so. Owned by whoever runs the
// follower, for that time; a thread of its own waits.
#pragma once

#include <thread>

#include "worker/parallel/liveness.h"

namespace quire::worker {

class FollowerSignals {
 public:
  // `group` outlives this.
  explicit FollowerSignals(Liveness& group);
  ~FollowerSignals();
  FollowerSignals(const FollowerSignals&) = delete;
  FollowerSignals& operator=(const FollowerSignals&) = delete;

 private:
  std::thread thread_;
};

}  // namespace quire::worker
