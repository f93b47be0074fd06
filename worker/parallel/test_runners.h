// For tests only: runners without a model, and plans for them.
#pragma once

#include <random>
#include <vector>

#include "worker/engine/model_runner.h"
#include "worker/engine/testing/plan_builder.h"

namespace quire::worker {

// Remembers what it ran; answers one token per row that is wanted: its input id.
class EchoRunner final : public ModelRunner {
 public:
  absl::Status Launch(const BatchPlan& plan) override {
    plans.push_back(plan);
    return fail ? absl::InternalError("planted") : absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override {
    if (fail_later) return absl::InternalError("planted late");
    StepResult result;
    for (const WantedRow& wanted : plans.back().wanted) {
      result.tokens.push_back({plans.back().ids[wanted.row], 0.0f, false});
    }
    return result;
  }
  std::vector<BatchPlan> plans;
  bool fail = false, fail_later = false;
};

// Takes two steps at once.
class AheadRunner final : public ModelRunner {
 public:
  bool runs_ahead() const override { return true; }
  absl::Status Launch(const BatchPlan& plan) override {
    rows.push_back(plan.sequences[0].sampled_row);
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }
  std::vector<int32_t> rows;
};

inline BatchPlan RandomPlan(uint64_t step, std::mt19937& random) {
  PlanBuilder builder;
  for (int32_t slot = 0; slot < static_cast<int32_t>(1 + random() % 5); ++slot) {
    if (random() % 2 == 0) builder.Open({.slot = slot, .scaled_rope = 1}, {}, {1, 2});
    builder.Rows(slot, static_cast<int32_t>(random() % 100'000),
                 std::vector<TokenId>(1 + random() % 20, static_cast<TokenId>(random() % 1000)),
                 std::vector<int32_t>(random() % 7, static_cast<int32_t>(random() % 100)));
    if (random() % 2 == 0) builder.Want();
  }
  BatchPlan plan = builder.Take();
  plan.step = step;
  return plan;
}

}  // namespace quire::worker
