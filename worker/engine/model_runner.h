// What the engine asks of a model: run one planned step. The engine owns the interface, worker/model and
// worker/parallel implement it, tests plug in a scripted one. Called by the engine thread only; Launch and
// Collect alternate.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/batch_plan.h"

namespace quire::worker {

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  // Starts the step; `plan` stays unchanged until Collect returned. An error loses the group.
  virtual absl::Status Launch(const BatchPlan& plan) = 0;
  virtual absl::StatusOr<StepResult> Collect() = 0;
};

}  // namespace quire::worker
