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
  if (runs_ahead()) return channel_.Send(plan, std::nullopt);
  QUIRE_ASSIGN_OR_RETURN(const std::span<const TokenId> ids, ResolveIds(plan, sampled_, resolved_));
  return channel_.Send(plan, ids);
}

absl::Status DistributedRunner::Launch(const BatchPlan& plan) {
  steps_.Begin(plan);
  absl::Status status = TellFollowers(plan);
  liveness_.Enter(Phase::kComputing);
  if (status.ok()) status = local_.Launch(plan);
  ++in_flight_;
  return LoseOnError(liveness_, std::move(status));
}

absl::StatusOr<StepResult> DistributedRunner::Collect() {
  if (runs_ahead() && in_flight_ == 1) {
    QUIRE_RETURN_IF_ERROR(LoseOnError(liveness_, channel_.SendCollect()));
    liveness_.Enter(Phase::kComputing);
  }
  absl::StatusOr<StepResult> result = local_.Collect();
  QUIRE_RETURN_IF_ERROR(LoseOnError(liveness_, result.status()));
  --in_flight_;
  if (!liveness_.Healthy())
    return liveness_.LostError();  // a device computes nonsense then (Communicator::Stop)
  steps_.End();
  if (!runs_ahead()) TakeSampled(*result, sampled_);
  return result;
}

FollowerSteps::FollowerSteps(Liveness& liveness, ModelRunner& local, const StepDeadlineOptions& limits)
    : liveness_(liveness), local_(local), steps_(liveness, limits) {}

absl::Status FollowerSteps::Launch(BatchPlan plan) {
  in_flight_.push_back(std::move(plan));
  steps_.Begin(in_flight_.back());
  liveness_.Enter(Phase::kComputing);
  QUIRE_RETURN_IF_ERROR(LoseOnError(liveness_, local_.Launch(in_flight_.back())));
  return Collect(local_.runs_ahead() ? 1 : 0);
}

absl::Status FollowerSteps::CollectAll() {
  if (in_flight_.empty()) return absl::OkStatus();
  liveness_.Enter(Phase::kComputing);
  return Collect(0);
}

absl::Status FollowerSteps::Collect(size_t left) {
  while (in_flight_.size() > left) {
    QUIRE_RETURN_IF_ERROR(LoseOnError(liveness_, local_.Collect().status()));
    steps_.End();
    in_flight_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status RunFollower(RankGroup& group, ModelRunner& local, const StepDeadlineOptions& limits) {
  PlanChannel channel(group);
  FollowerSteps steps(*group.liveness, local, limits);
  while (true) {
    QUIRE_ASSIGN_OR_RETURN(DecodedOrder next, channel.Receive());
    if (next.order == FollowerOrder::kPlan) {
      QUIRE_RETURN_IF_ERROR(steps.Launch(std::move(next.plan)));
    } else {
      QUIRE_RETURN_IF_ERROR(steps.CollectAll());
    }
    if (next.order == FollowerOrder::kStop) return absl::OkStatus();
  }
}

}  // namespace quire::worker
