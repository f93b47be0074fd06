#include "worker/parallel/distributed_runner.h"

#include "base/core/status.h"

namespace quire::worker {
namespace {

// Passes a step's outcome on; a failure loses the group.
template <typename Outcome>
Outcome LoseOnError(RankGroup& group, Outcome outcome) {
  if (!outcome.ok()) group.Lose();
  return outcome;
}

absl::Status RunStep(RankGroup& group, ModelRunner& local, const BatchPlan& plan) {
  group.BeginStep();
  absl::Status status = local.Launch(plan);
  if (status.ok()) status = local.Collect().status();
  group.EndStep();
  return LoseOnError(group, status);
}

}  // namespace

absl::Status DistributedRunner::Launch(const BatchPlan& plan) {
  group_.BeginStep();
  absl::Status status = channel_.Send(plan);
  if (status.ok()) status = local_.Launch(plan);
  return LoseOnError(group_, status);
}

absl::StatusOr<StepResult> DistributedRunner::Collect() {
  absl::StatusOr<StepResult> result = local_.Collect();
  group_.EndStep();
  return LoseOnError(group_, std::move(result));
}

absl::Status RunFollower(RankGroup& group, ModelRunner& local) {
  PlanChannel channel(group);
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const std::optional<BatchPlan> plan, channel.Receive());
    if (!plan.has_value()) return absl::OkStatus();
    QUIRE_RETURN_IF_ERROR(RunStep(group, local, *plan));
  }
}

}  // namespace quire::worker
