// A group whose ranks run on several hosts, over TCP: whence each gets its RankGroup.
#pragma once

#include "absl/status/statusor.h"
#include "worker/parallel/agreement.h"
#include "worker/parallel/rank_group.h"
#include "worker/parallel/tcp/meeting.h"

namespace quire::worker {

struct TcpGroupOptions {
  MeetingOptions meeting;
  int64_t spin_us = 0;  // before a wait sleeps; 0 where ranks outnumber cores
  BufferSizes buffers{1 << 20, 1 << 16};
  RankRecord agreement;  // what must be the same for all ranks, beside the buffers
  int64_t stale_ms = kUsualStaleMs;
};

// Returns once every rank joined and all agree. InvalidArgument: the ranks were started with different
// options; FailedPrecondition: what was asked for is not safe, or not possible on this host; Unavailable: not
// all came.
absl::StatusOr<RankGroup> JoinTcpGroup(const TcpGroupOptions& options, LivenessCallbacks callbacks = {});

}  // namespace quire::worker
