// For tests: plans written by hand. Each call says something of the plan that is being made, in the order in
// which a plan has it; Take gives it away and begins the next one.
#pragma once

#include <utility>
#include <vector>

#include "worker/engine/batch_plan.h"

namespace quire::worker {

class PlanBuilder {
 public:
  PlanBuilder& Op(SlotOp op) {
    plan_.ops.push_back(op);
    return *this;
  }
  // With the blocks of a prefix that is computed.
  PlanBuilder& Open(OpenSlot op, SlotSampling sampling = {}, const std::vector<int32_t>& blocks = {}) {
    op.blocks = static_cast<int32_t>(blocks.size());
    plan_.blocks.insert(plan_.blocks.end(), blocks.begin(), blocks.end());
    plan_.openings.push_back(std::move(sampling));
    return Op(op);
  }
  PlanBuilder& Rows(int32_t slot, int32_t position, const std::vector<TokenId>& ids,
                    const std::vector<int32_t>& blocks = {}) {
    plan_.sequences.push_back({.slot = slot,
                               .position = position,
                               .rows = static_cast<int32_t>(ids.size()),
                               .blocks = static_cast<int32_t>(blocks.size())});
    plan_.ids.insert(plan_.ids.end(), ids.begin(), ids.end());
    plan_.blocks.insert(plan_.blocks.end(), blocks.begin(), blocks.end());
    return *this;
  }
  // Of the rows before: they begin with what that row sampled in the step before.
  PlanBuilder& FromSampled(int32_t row) {
    plan_.sequences.back().sampled_row = row;
    return *this;
  }
  // One of the rows before, counted from their last, whole.
  PlanBuilder& Want(RowSampling sampling = {}, int32_t from_last = 0) {
    ++plan_.sequences.back().wanted;
    plan_.wanted.push_back({static_cast<int32_t>(plan_.ids.size()) - 1 - from_last});
    plan_.samples.push_back(std::move(sampling));
    return *this;
  }
  BatchPlan Take() {
    BatchPlan plan = std::exchange(plan_, {});
    plan.step = ++steps_;
    return plan;
  }

 private:
  BatchPlan plan_;
  uint64_t steps_ = 0;
};

}  // namespace quire::worker
