#include "kernels/host_step.h"

#include <algorithm>

#include "base/core/hash.h"
#include "kernels/shape_check.h"

namespace quire::kernels {
namespace {

constexpr char kOp[] = "BeginStep";

}  // namespace

void HostStep::Reserve(const StepLimits& limits) {
  limits_ = limits;
  ids_.reserve(limits.tokens);
  sequences_.reserve(limits.sequences);
  wanted_rows_.reserve(limits.wanted_rows);
  slots_.assign(limits.sequences, {});
  tables_.assign(limits.sequences * limits.table_blocks, 0);
}

int64_t HostStep::BytesFor(const StepLimits& limits) {
  const auto size = [](const auto& values) { return static_cast<int64_t>(sizeof(values[0])); };
  const HostStep none;
  return limits.tokens * size(none.ids_) + limits.wanted_rows * size(none.wanted_rows_) +
         limits.sequences *
             (size(none.sequences_) + size(none.slots_) + limits.table_blocks * size(none.tables_));
}

StepBucket HostStep::Take(const StepInputs& inputs, std::span<const SampledToken> before) {
  CheckOp(std::ssize(inputs.ids) <= limits_.tokens, kOp, "more tokens than were reserved");
  CheckOp(std::ssize(inputs.wanted_rows) <= limits_.wanted_rows, kOp, "more wanted rows than were reserved");
  ids_.assign(inputs.ids.begin(), inputs.ids.end());
  for (const auto& [row, from] : inputs.sampled) {
    CheckOp(row >= 0 && row < std::ssize(ids_) && from >= 0 && from < std::ssize(before), kOp,
            "no such row, or none was sampled");
    ids_[row] = before[from].failed ? 0 : before[from].id;
  }
  TakeSequences(inputs.sequences);
  int64_t least = 0;
  for (const int64_t row : inputs.wanted_rows) {
    CheckOp(row >= least && row < std::ssize(ids_), kOp, "wanted rows are not ascending rows of the step");
    least = row;
  }
  wanted_rows_.assign(inputs.wanted_rows.begin(), inputs.wanted_rows.end());
  return {.tokens = std::ssize(ids_), .wanted_rows = std::ssize(wanted_rows_)};
}

void HostStep::TakeSequences(std::span<const SequenceRows> sequences) {
  CheckOp(std::ssize(sequences) <= limits_.sequences, kOp, "more sequences than were reserved");
  sequences_.assign(sequences.begin(), sequences.end());
  ++step_;
  int64_t free_row = 0;  // below it they are taken
  for (SequenceRows& s : sequences_) {
    CheckOp(s.first_row >= free_row && s.rows >= 0 && s.rows <= std::ssize(ids_) - s.first_row, kOp,
            "rows out of range, or another sequence's");
    free_row = s.first_row + s.rows;
    s.blocks = TakeTable(s);
  }
}

std::span<const int32_t> HostStep::TakeTable(const SequenceRows& sequence) {
  CheckOp(sequence.slot >= 0 && sequence.slot < limits_.sequences, kOp, "no such slot");
  Slot& slot = slots_[sequence.slot];
  CheckOp(slot.step != step_, kOp, "two sequences are in one slot");
  CheckOp(sequence.kept >= 0 && sequence.kept <= slot.blocks, kOp, "more blocks to keep than the slot has");
  const int64_t blocks = sequence.kept + std::ssize(sequence.blocks);
  CheckOp(blocks <= limits_.table_blocks, kOp, "a longer block table than was reserved");
  CheckOp(sequence.position >= 0 && sequence.position <= blocks * kBlockTokens - sequence.rows, kOp,
          "the block table is too short");
  const auto table = std::span(tables_).subspan(sequence.slot * limits_.table_blocks, blocks);
  std::ranges::copy(sequence.blocks, table.begin() + sequence.kept);
  slot = {.blocks = blocks, .step = step_};
  return table;
}

}  // namespace quire::kernels
