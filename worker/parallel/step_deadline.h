// How long a step may take before the group is taken for hung: what steps of its kind took so far, times a
// generous factor, and never less than a floor of seconds. Kinds are decode or prefill by class (powers of
// two) of rows and of the longest context. A step of a kind not seen yet is judged by the nearest one that
// was, scaled up to its size; the very first one by the bytes of weights that it reads. After idleness there
// is time to read back, from a disk, what may have been swapped out in it. So a slow machine is never flagged
// for being slow, and a hung rank is found. Each rank's engine thread has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <tuple>

#include "worker/engine/batch_plan.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {

struct StepShape {
  bool prefill = false;
  int64_t tokens = 1;
  int64_t context = 1;  // positions of the longest sequence
};
StepShape ShapeOf(const BatchPlan& plan);

// How long to wait for the others' weights once this rank's, so many bytes, are there after `load_us`. They
// load about as much, but perhaps from a disk where this one had memory. Whether they live, their beats say.
int64_t LoadLimitUs(int64_t load_us, int64_t weight_bytes);

struct StepDeadlineOptions {
  int64_t floor_us = 10'000'000;  // a busy machine may let any process wait for seconds
  int64_t factor = 20;
  int64_t weight_bytes = 0;  // of this rank
  std::function<int64_t()> now_us = MonotonicUs;
};

class StepDeadline {
 public:
  explicit StepDeadline(const StepDeadlineOptions& options = {}) : options_(options) {}
  // Of a step that begins now.
  int64_t LimitUs(const StepShape& shape) const;
  // A step has just ended. One outlier moves the estimate by a bounded factor, and is forgotten in some tens
  // of steps.
  void Observe(const StepShape& shape, int64_t took_us);

 private:
  using Kind = std::tuple<bool, int, int>;  // prefill, class of tokens, class of context
  static Kind KindOf(const StepShape& shape);
  double EstimateUs(const StepShape& shape) const;
  int64_t ReadUs() const;
  double FirstGuessUs(const StepShape& shape) const;

  const StepDeadlineOptions options_;
  std::map<Kind, double> us_per_token_;
  int64_t last_end_us_ = 0;  // of the steps that ran
};

}  // namespace quire::worker
