// Orders from rank 0 to the followers, as plan_codec.h's bytes over the group's PlanTransport. Each end is
// used by its rank's engine thread only.
#pragma once

#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/batch_plan.h"
#include "worker/parallel/plan_codec.h"
#include "worker/parallel/rank_group.h"

namespace quire::worker {

class PlanChannel {
 public:
  // `group` outlives this.
  explicit PlanChannel(RankGroup& group) : liveness_(*group.liveness), plans_(*group.plans) {}

  // Rank 0; `resolved` as EncodePlan has it. Unavailable: the group is lost. InvalidArgument: larger than the
  // group's plan_bytes.
  absl::Status Send(const BatchPlan& plan, std::optional<std::span<const TokenId>> resolved);
  // Rank 0: that the followers collect what is in flight.
  absl::Status SendCollect();
  // Rank 0: that they stop; it waits until they have heard it.
  absl::Status SendStop();
  // A follower: waits for the next order, for as long as the group is idle; after a stop this rank has left
  // the group. A plan says nothing of how rows are sampled.
  absl::StatusOr<DecodedOrder> Receive();

 private:
  // Waits until every follower took the last plan.
  absl::Status WaitForRoom();

  Liveness& liveness_;
  PlanTransport& plans_;
};

}  // namespace quire::worker
