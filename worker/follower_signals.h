// What SIGTERM and SIGINT, which main has blocked, mean for a rank that follows: they are meant for the
// group, so rank 0 is asked to drain it, and needs this rank to finish its requests. Only where it does not
// say stop within `patience` this rank goes, and the group with it. Owned by whoever runs the follower, for
// that time; a thread of its own waits.
#pragma once

#include <thread>

#include "absl/time/time.h"
#include "base/core/mutex.h"
#include "worker/parallel/rank_group.h"

namespace quire::worker {

class FollowerSignals {
 public:
  // `group` outlives this.
  FollowerSignals(RankGroup& group, absl::Duration patience);
  ~FollowerSignals();
  FollowerSignals(const FollowerSignals&) = delete;
  FollowerSignals& operator=(const FollowerSignals&) = delete;

 private:
  void Wait();

  RankGroup& group_;
  const absl::Duration patience_;
  Notification ended_;
  std::thread thread_;
};

}  // namespace quire::worker
