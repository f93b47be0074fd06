// One step's work as plain data: what the scheduler decides and every rank runs. Built by the engine thread
// of rank 0, sent to followers by worker/parallel, read by the model runner. The `sample` pointers are rank
// 0's alone (followers get what they need) and point into sequences that outlive the step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/core/ids.h"
#include "kernels/sampling/candidates.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::worker {

using kernels::SampledToken;
using kernels::SampleSpec;
using kernels::SamplingParams;

// `ids` run at positions [position, position + ids.size()) of the sequence whose pages are `blocks`.
struct SequencePlan {
  int64_t position = 0;
  std::vector<TokenId> ids;
  std::vector<int32_t> blocks;  // its block table: of exactly position + ids.size() tokens
  bool scaled_rope = false;
  bool wants_logits = false;           // of the last row
  const SampleSpec* sample = nullptr;  // set on rank 0 where wants_logits
  kernels::RowNeed need = {};          // what `sample` needs of the logits, for followers; see NeedOf
};

inline kernels::RowNeed NeedOf(const SequencePlan& plan) {
  return plan.sample != nullptr ? kernels::NeedOf(*plan.sample) : plan.need;
}

struct BatchPlan {
  uint64_t step = 0;
  std::vector<SequencePlan> sequences;

  int64_t tokens() const {
    int64_t total = 0;
    for (const SequencePlan& sequence : sequences) total += static_cast<int64_t>(sequence.ids.size());
    return total;
  }
};

// One entry per sequence of the plan that wanted logits, in plan order. Empty on followers.
struct StepResult {
  std::vector<SampledToken> tokens;
};

}  // namespace quire::worker
