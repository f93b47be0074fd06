// What the engine asks of a model: run one planned step. The engine owns the interface, worker/model and
// worker/parallel implement it, tests plug in a scripted one. Called by the engine thread only; Launch and
// Collect alternate, but for a runner that runs ahead.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/batch_plan.h"

namespace quire::worker {

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  // Whether it takes one more Launch while a step is in flight, launched and not collected: as a device does
  // that runs steps by itself, in order. Then a plan may begin with tokens that the step in flight samples
  // (SequencePlan::sampled_row). Never changes.
  virtual bool runs_ahead() const { return false; }
  // Starts the step; `plan` stays unchanged until it was collected. An error loses the group.
  virtual absl::Status Launch(const BatchPlan& plan) = 0;
  // Waits for the oldest step in flight.
  virtual absl::StatusOr<StepResult> Collect() = 0;
};

}  // namespace quire::worker
