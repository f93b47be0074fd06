// A group whose ranks are processes (or a test's threads) of one host, over shared memory: whence each gets
// its RankGroup.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/group_memory.h"
#include "worker/parallel/rank_group.h"

namespace quire::worker {

struct ShmGroupOptions {
  std::shared_ptr<GroupName> shm;  // without '/'; new for every epoch
  int rank = 0, size = 1;
  int64_t spin_us = 0;  // before a wait sleeps; 0 where ranks outnumber cores
  BufferSizes buffers{1 << 20, 1 << 16};
  RankRecord agreement;               // what must be the same for all ranks, beside the buffers
  int64_t join_timeout_ms = 120'000;  // for all ranks to come, and to agree
  int64_t stale_ms = kUsualStaleMs;
};

// Starts beating, and returns once every rank joined and has its buffers. InvalidArgument: the ranks were
// started with different options; Unavailable: not all came; ResourceExhausted: no room in /dev/shm.
absl::StatusOr<RankGroup> JoinShmGroup(const ShmGroupOptions& options, LivenessCallbacks callbacks = {});

}  // namespace quire::worker
