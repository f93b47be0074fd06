// Plans in the group's shared memory: one buffer that rank 0 writes and all read, a word that rank 0 raises
// for each plan, and one per follower for each plan taken.
#pragma once

#include "worker/parallel/plan_transport.h"
#include "worker/parallel/shm_liveness.h"

namespace quire::worker {

class ShmPlanTransport final : public PlanTransport {
 public:
  // `group` outlives this; its buffers are mapped before the first call.
  explicit ShmPlanTransport(ShmLiveness& group) : group_(group) {}
  absl::Status AwaitTaken() override;
  std::span<uint8_t> buffer() override { return group_.memory().plan(); }
  absl::Status Send(size_t bytes) override;
  absl::StatusOr<std::span<const uint8_t>> Receive() override;
  absl::Status Take() override;

 private:
  ShmLiveness& group_;
  uint32_t plans_ = 0;  // sent, or received
};

}  // namespace quire::worker
