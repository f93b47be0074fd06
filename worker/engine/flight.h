// The steps in flight: launched and not collected. One at a time, or two where the runner runs ahead: while
// one runs, the next is planned and launched, and what the one before brought is handed over. Owned by the
// engine; its thread alone, but for `begun`. What always holds: steps land in the order in which they were
// launched; a step's plan stays until it has landed; of a sequence that is gone no step knows any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/clock.h"
#include "worker/engine/engine_metrics.h"
#include "worker/engine/model_runner.h"
#include "worker/engine/scheduler.h"

namespace quire::worker {

struct LandedStep {
  Step step;  // its sequences are null where they are gone
  StepResult result;
  // What streams waited for its tokens since they got those of the step before, host work included.
  int64_t took_us = 0;
};

class Flight {
 public:
  // All outlive it.
  Flight(ModelRunner* runner, const Clock* clock, EngineMetrics* metrics)
      : runner_(runner), clock_(clock), metrics_(metrics) {}

  bool empty() const { return steps_.empty(); }
  bool has_room() const { return steps_.size() < (runner_->runs_ahead() ? 2u : 1u); }
  // The number of the one that was launched last. Not empty.
  uint64_t last_step() const { return steps_.back().step.plan.step; }
  // Steps that were launched so far; any thread.
  const std::atomic<uint64_t>& begun() const { return begun_; }

  // Where there is room. An error of either: no step can be run any more.
  absl::Status Launch(Step step);
  // The oldest. Not empty.
  absl::StatusOr<LandedStep> Collect();
  // Whatever steps bring it is for nobody.
  void Forget(const Sequence* gone);
  // There is nothing to do: what passes until the next step is nobody's time.
  void Rest() { collected_us_.reset(); }

 private:
  struct Launched {
    Step step;
    int64_t at_us = 0;
  };
  void CountLaunch(const BatchPlan& plan, int64_t now_us);

  ModelRunner* const runner_;
  const Clock* const clock_;
  EngineMetrics* const metrics_;
  std::deque<Launched> steps_;
  std::atomic<uint64_t> begun_{0};
  std::optional<int64_t> collected_us_;  // when the last step's tokens came, unless it has rested since
  size_t largest_batch_ = 0;
};

}  // namespace quire::worker
