#include "worker/engine/flight.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {

absl::Status Flight::Launch(Step step) {
  const int64_t now_us = clock_->NowUs();
  CountLaunch(step.plan, now_us);
  steps_.push_back({std::move(step), now_us});
  return runner_->Launch(steps_.back().step.plan);
}

void Flight::CountLaunch(const BatchPlan& plan, int64_t now_us) {
  // The device waits for no host where it has another step to run.
  const int64_t waited_us = empty() ? now_us - collected_us_.value_or(now_us) : 0;
  if (collected_us_) metrics_->host_seconds.Observe(static_cast<double>(waited_us) * 1e-6);
  begun_.fetch_add(1);
  metrics_->steps.Increment();
  if (!empty()) metrics_->steps_ahead.Increment();
  largest_batch_ = std::max(largest_batch_, plan.sequences.size());
  metrics_->batch_sequences.Set(static_cast<double>(plan.sequences.size()));
  metrics_->batch_sequences_max.Set(static_cast<double>(largest_batch_));
}

absl::StatusOr<LandedStep> Flight::Collect() {
  QUIRE_ASSIGN_OR_RETURN(StepResult result, runner_->Collect());
  const BatchPlan& plan = steps_.front().step.plan;
  if (result.tokens.size() != plan.wanted.size()) {
    return absl::InternalError(absl::StrCat("step ", plan.step, " returned ", result.tokens.size(),
                                            " tokens, not ", plan.wanted.size()));
  }
  metrics_->computed_tokens.Increment(static_cast<double>(plan.tokens()));
  const int64_t end_us = clock_->NowUs(), launched_us = steps_.front().at_us;
  const int64_t before_us = std::exchange(collected_us_, end_us).value_or(launched_us);
  // It began to run when the one before had ended.
  const int64_t began_us = std::max(launched_us, before_us);
  metrics_->step_seconds.Observe(static_cast<double>(end_us - began_us) * 1e-6);
  LandedStep landed{std::move(steps_.front().step), std::move(result), end_us - before_us};
  steps_.pop_front();
  return landed;
}

void Flight::Forget(const Sequence* gone) {
  for (Launched& launched : steps_) {
    for (auto* sequences : {&launched.step.sequences, &launched.step.sampled}) {
      std::ranges::replace_if(
          *sequences, [gone](const Sequence* s) { return s == gone; }, nullptr);
    }
  }
}

}  // namespace quire::worker
