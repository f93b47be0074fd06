// The slots of one rank: the block table and position of each running sequence and, on rank 0, by what its
// tokens are sampled. Every rank has one, which all runners use alike, and moves it by the plans: they say
// what is new, this is what is. Owned by the runner; its engine thread. What always holds: a plan that breaks
// a rule (slot_rules.h) changes nothing; an open slot's table has exactly the blocks that its position needs;
// slots of a group are alike on all its ranks. Where a runner runs ahead, Apply is of a step that another one
// in flight comes before: what that needs of here, it has taken.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "worker/engine/batch_plan.h"
#include "worker/engine/slot_rules.h"
#include "worker/engine/slot_sampler.h"

namespace quire::worker {

// The rows of one sequence in the step.
struct SlotRows {
  int32_t slot = 0;
  int64_t first_row = 0, rows = 0, position = 0;
  std::span<const int32_t> table = {};
  int64_t kept = 0;  // so many of its first blocks were there when the slot ran last
  bool scaled_rope = false;
  int32_t adapter = 0;
};

class SlotTable {
 public:
  explicit SlotTable(const SlotLimits& limits);
  SlotTable(const SlotTable&) = delete;  // specs point into it
  SlotTable& operator=(const SlotTable&) = delete;

  // What one takes, where a table reaches over `context` positions.
  static int64_t BytesFor(int64_t slots, int64_t context);

  // The next step. Internal, and nothing has changed, where a rule is broken.
  absl::Status Apply(const BatchPlan& plan);
  // What the step sampled, which the next plan may begin sequences with. Not needed where ids are on the
  // device.
  void Collect(const StepResult& result) { TakeSampled(result, sampled_); }

  // ---- the step that was applied last, for as long as its plan is there; empty after a refused one ----

  std::span<const TokenId> ids() const { return ids_; }
  // Of those, the ones that the device has, where it does: 0 stands for them here.
  std::span<const kernels::SampledInput> sampled() const { return sampled_inputs_; }
  std::span<const SlotRows> sequences() const { return sequences_; }      // in the plan's order
  std::span<const kernels::BlockCopy> copies() const { return copies_; }  // before the rows run
  std::span<const SampleSpec* const> specs() const { return specs_; }     // of each wanted row; rank 0's

  // ---- as it is now, for tests ----

  std::span<const SlotShape> shapes() const { return shapes_; }
  std::span<const int32_t> table(int32_t slot) const { return slots_[slot].table; }

 private:
  struct Slot {
    std::vector<int32_t> table;
    int64_t kept = 0;
    SlotSampler sampler;  // rank 0's
  };
  // What no slot has taken yet of the plan.
  struct Rest {
    std::span<const int32_t> blocks;
    std::span<const WantedRow> wanted;
    std::span<const SlotSampling> openings;
    std::span<const RowSampling> samples;
    int64_t first_row = 0;
  };

  // The plan's, resolved unless that is the device's. Internal where a row of the step before is no row.
  absl::StatusOr<std::span<const TokenId>> Ids(const BatchPlan& plan);
  void Change(const OpenSlot& op, Rest& rest);
  void Change(const ForkSlot& op, Rest& rest);
  void Change(const CloseSlot& op, Rest& rest);
  void Change(const RollBack& op, Rest& rest);
  void Change(const CopyLastBlock& op, Rest& rest);
  void Run(const SequencePlan& sequence, Rest& rest);
  void Sample(const SequencePlan& sequence, Rest& rest);

  const SlotLimits limits_;
  std::vector<SlotShape> shapes_, next_shapes_;
  std::vector<Slot> slots_;
  std::vector<TokenId> sampled_;  // by the step before
  int64_t sampled_rows_ = 0;      // and how many those are, on a device
  // Of the step.
  std::vector<TokenId> resolved_;  // ids, where some were sampled
  std::span<const TokenId> ids_;
  std::vector<kernels::SampledInput> sampled_inputs_;
  std::vector<SlotRows> sequences_;
  std::vector<kernels::BlockCopy> copies_;
  std::vector<const SampleSpec*> specs_;
};

}  // namespace quire::worker
