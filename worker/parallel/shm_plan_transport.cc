#include "worker/parallel/shm_plan_transport.h"

#include "base/core/status.h"

namespace quire::worker {

absl::Status ShmPlanTransport::AwaitTaken() {
  for (int r = 1; r < group_.size(); ++r) {
    QUIRE_RETURN_IF_ERROR(group_.Await(group_.slot(r).ack, plans_));
  }
  return absl::OkStatus();
}

// Followers read the buffer where it is, and find the plan's end in it.
absl::Status ShmPlanTransport::Send(size_t /*bytes*/) {
  ++plans_;
  group_.memory().control().plan.Advance();
  return absl::OkStatus();
}

absl::StatusOr<std::span<const uint8_t>> ShmPlanTransport::Receive() {
  ++plans_;
  QUIRE_RETURN_IF_ERROR(group_.Await(group_.memory().control().plan, plans_));
  return group_.memory().plan();
}

absl::Status ShmPlanTransport::Take() {
  group_.slot(group_.rank()).ack.Advance();
  return absl::OkStatus();
}

}  // namespace quire::worker
