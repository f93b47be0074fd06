// A ModelRunner for a group of ranks: rank 0's engine calls DistributedRunner, which sends each plan to the
// followers and runs its own shard; the followers sit in RunFollower and do the same steps. Any error of any
// rank loses the group.
#pragma once

#include "worker/engine/model_runner.h"
#include "worker/parallel/plan_channel.h"

namespace quire::worker {

class DistributedRunner final : public ModelRunner {
 public:
  // Both outlive the runner.
  DistributedRunner(RankGroup& group, ModelRunner& local) : group_(group), local_(local), channel_(group) {}
  absl::Status Launch(const BatchPlan& plan) override;
  absl::StatusOr<StepResult> Collect() override;
  // Lets the followers return from RunFollower; no Launch after it.
  absl::Status StopFollowers() { return channel_.SendStop(); }

 private:
  RankGroup& group_;
  ModelRunner& local_;
  PlanChannel channel_;
};

// A follower's whole life: returns OK after a stop, else why the group was lost.
absl::Status RunFollower(RankGroup& group, ModelRunner& local);

}  // namespace quire::worker
