#include "worker/parallel/distributed_runner.h"

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

// Passes a step's outcome on; a failure loses the group.
absl::Status LoseOnError(Liveness& liveness, absl::Status status) {
  if (!status.ok()) liveness.Lose(absl::StrCat("rank ", liveness.rank(), " failed: ", MessageOf(status)));
  return status;
}

}  // namespace

void TimedSteps::Begin(const BatchPlan& plan) {
  launched_.push_back({plan.step, ShapeOf(plan)});
  if (launched_.size() == 1) Start();
}

void TimedSteps::Start() {
  const Launched& oldest = launched_.front();
  limit_us_ = deadline_.LimitUs(oldest.shape);
  started_us_ = MonotonicUs();
  liveness_.BeginTimed(oldest.step, limit_us_);
  liveness_.Enter(Phase::kComputing);
}

void TimedSteps::End() {
  liveness_.EndTimed();
  liveness_.Enter(Phase::kIdle);
  // Beyond the limit and yet not lost: the host was paused in it.
  const int64_t took_us = MonotonicUs() - started_us_;
  if (took_us <= limit_us_) deadline_.Observe(launched_.front().shape, took_us);
  launched_.pop_front();
  if (!launched_.empty()) Start();
}

absl::Status DistributedRunner::TellFollowers(const BatchPlan& plan) {
  if (liveness_.size() == 1) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const std::span<const TokenId> ids, ResolveIds(plan, sampled_, resolved_));
  return channel_.Send(plan, ids);
}

absl::Status DistributedRunner::Launch(const BatchPlan& plan) {
  steps_.Begin(plan);
  absl::Status status = TellFollowers(plan);
  liveness_.Enter(Phase::kComputing);
  if (status.ok()) status = local_.Launch(plan);
  return LoseOnError(liveness_, std::move(status));
}

absl::StatusOr<StepResult> DistributedRunner::Collect() {
  absl::StatusOr<StepResult> result = local_.Collect();
  QUIRE_RETURN_IF_ERROR(LoseOnError(liveness_, result.status()));
  if (!liveness_.Healthy()) return liveness_.LostError();  // a device computes nonsense then (Communicator::Stop)
  steps_.End();
  TakeSampled(*result, sampled_);
  return result;
}

absl::Status RunFollower(RankGroup& group, ModelRunner& local, const StepDeadlineOptions& limits) {
  PlanChannel channel(group);
  TimedSteps steps(*group.liveness, limits);
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(const std::optional<BatchPlan> plan, channel.Receive());
    if (!plan.has_value()) return absl::OkStatus();
    steps.Begin(*plan);
    absl::Status status = local.Launch(*plan);
    if (status.ok()) status = local.Collect().status();
    QUIRE_RETURN_IF_ERROR(LoseOnError(*group.liveness, std::move(status)));
    steps.End();
  }
}

}  // namespace quire::worker
