// How a plan's bytes get from rank 0 to every follower: in order, one at a time; rank 0 writes the next one
// only after every follower took the last. One of the four parts of a RankGroup, which owns it; each end is
// used by its rank's engine thread only. Two forms: shm_plan_transport.h, and over TCP
// tcp/tcp_plan_transport.h. Unavailable, of every call: the group is lost.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quire::worker {

class PlanTransport {
 public:
  virtual ~PlanTransport() = default;

  // ---- rank 0 ----
  // Waits until every follower took the last plan.
  virtual absl::Status AwaitTaken() = 0;
  // After AwaitTaken: where the next one is written.
  virtual std::span<uint8_t> buffer() = 0;
  // The first `bytes` of the buffer go to all followers.
  virtual absl::Status Send(size_t bytes) = 0;

  // ---- a follower ----
  // The next plan, for as long as the group is idle; its bytes stay until Take.
  virtual absl::StatusOr<std::span<const uint8_t>> Receive() = 0;
  virtual absl::Status Take() = 0;
};

}  // namespace quire::worker
