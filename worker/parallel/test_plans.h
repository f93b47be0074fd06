// For tests: plans as bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/parallel/plan_codec.h"

namespace quire::worker {

inline std::vector<uint8_t> WireOf(const BatchPlan& plan) {
  std::vector<uint8_t> bytes(EncodePlan(plan, plan.ids, {}));
  EncodePlan(plan, plan.ids, bytes);
  return bytes;
}

// The largest of these limits. It makes no sense, but for its numbers.
inline BatchPlan LargestPlan(const PlanLimits& limits) {
  BatchPlan plan;
  plan.step = ~uint64_t{0} - 6;
  for (int32_t slot = 0; slot < limits.max_sequences; ++slot) {
    const auto blocks = static_cast<int32_t>(limits.max_blocks);
    plan.ops.insert(plan.ops.end(),
                    {ForkSlot{slot, 2}, CopyLastBlock{slot, 7}, RollBack{slot, 5}, CloseSlot{slot},
                     OpenSlot{.slot = slot, .adapter = 3, .blocks = blocks}});
    plan.sequences.push_back({.slot = slot});
    plan.blocks.insert(plan.blocks.end(), blocks, slot);
  }
  plan.ids.assign(limits.max_batch_tokens, 8);
  plan.wanted.assign(limits.max_wanted_rows, {9, {.runs = 5, .temperature = 0.5f}});
  return plan;
}

}  // namespace quire::worker
