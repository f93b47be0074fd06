// Plans as bytes, from rank 0 to the followers over the group's PlanTransport. Each end is used by its rank's
// engine thread only.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/batch_plan.h"
#include "worker/engine/scheduler.h"
#include "worker/parallel/rank_group.h"

namespace quire::worker {

// What bounds a plan, so that its buffer is large enough for any.
struct PlanLimits {
  int64_t max_sequences = 0, max_batch_tokens = 0;
  int64_t max_blocks = 0;  // of one sequence
};
PlanLimits PlanLimitsFor(const SchedulerLimits& limits, int64_t max_context);
int64_t PlanBytesFor(const PlanLimits& limits);

class PlanChannel {
 public:
  // `group` outlives this.
  explicit PlanChannel(RankGroup& group) : liveness_(*group.liveness), plans_(*group.plans) {}

  // Rank 0. Unavailable: the group is lost. InvalidArgument: larger than the group's plan_bytes.
  absl::Status Send(const BatchPlan& plan);
  // Rank 0: the followers' Receive answers nullopt.
  absl::Status SendStop();
  // A follower: waits for the next plan, for as long as the group is idle; nullopt = stop, and this rank has
  // left the group. `sample` is null in it.
  absl::StatusOr<std::optional<BatchPlan>> Receive();

 private:
  // Waits until every follower took the last plan.
  absl::Status WaitForRoom();

  Liveness& liveness_;
  PlanTransport& plans_;
};

}  // namespace quire::worker
