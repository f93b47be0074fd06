#include "worker/engine/slot_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

// The first `count`, which leave `rest`.
template <typename T>
std::span<const T> TakeFirst(std::span<const T>& rest, int64_t count) {
  const std::span<const T> first = rest.first(count);
  rest = rest.subspan(count);
  return first;
}

}  // namespace

SlotTable::SlotTable(const SlotLimits& limits)
    : limits_(limits), shapes_(limits.slots), next_shapes_(limits.slots), slots_(limits.slots) {
  const int64_t context = std::max(limits.plain_context, limits.scaled_context);
  for (Slot& slot : slots_) slot.table.reserve(std::min(BlocksFor(context), limits.kv_blocks));
}

int64_t SlotTable::BytesFor(int64_t slots, int64_t context) {
  return slots * (static_cast<int64_t>(sizeof(Slot) + 2 * sizeof(SlotShape) + sizeof(SlotRows)) +
                  BlocksFor(context) * static_cast<int64_t>(sizeof(int32_t)));
}

absl::Status SlotTable::Apply(const BatchPlan& plan) {
  ids_ = {};
  sequences_.clear();
  copies_.clear();
  specs_.clear();
  sampled_inputs_.clear();
  QUIRE_ASSIGN_OR_RETURN(const std::span<const TokenId> ids, Ids(plan));
  next_shapes_ = shapes_;
  QUIRE_RETURN_IF_ERROR(ApplyRules(plan, limits_, next_shapes_));
  shapes_.swap(next_shapes_);
  ids_ = ids;
  sampled_rows_ = std::ssize(plan.wanted);
  Rest rest{plan.blocks, plan.wanted, plan.openings, plan.samples};
  for (const SlotOp& op : plan.ops) std::visit([&](const auto& change) { Change(change, rest); }, op);
  for (const SequencePlan& sequence : plan.sequences) Run(sequence, rest);
  return absl::OkStatus();
}

absl::StatusOr<std::span<const TokenId>> SlotTable::Ids(const BatchPlan& plan) {
  if (!limits_.ids_on_device) return ResolveIds(plan, sampled_, resolved_);
  for (const SequencePlan& sequence : plan.sequences) {
    if (sequence.sampled_row >= -1 && sequence.sampled_row < sampled_rows_) continue;
    return absl::InternalError(absl::StrCat("step ", plan.step, " begins with what row ",
                                            sequence.sampled_row, " of ", sampled_rows_, " sampled"));
  }
  return std::span<const TokenId>(plan.ids);
}

void SlotTable::Change(const OpenSlot& op, Rest& rest) {
  Slot& slot = slots_[op.slot];
  const std::span<const int32_t> blocks = TakeFirst(rest.blocks, op.blocks);
  slot.table.assign(blocks.begin(), blocks.end());
  slot.kept = 0;
  if (limits_.samples) slot.sampler.Open(TakeFirst(rest.openings, 1)[0]);
}

void SlotTable::Change(const ForkSlot& op, Rest&) {
  Slot& slot = slots_[op.slot];
  const Slot& from = slots_[op.from];
  slot.table = from.table;
  slot.kept = 0;
  slot.sampler.Fork(from.sampler);
}

void SlotTable::Change(const CloseSlot& op, Rest&) {
  slots_[op.slot].table.clear();
  slots_[op.slot].sampler = {};
}

void SlotTable::Change(const RollBack& op, Rest&) {
  Slot& slot = slots_[op.slot];
  slot.table.resize(BlocksFor(op.position));
  slot.kept = std::min(slot.kept, std::ssize(slot.table));
  if (limits_.samples) slot.sampler.RollBack(op.position);
}

void SlotTable::Change(const CopyLastBlock& op, Rest&) {
  Slot& slot = slots_[op.slot];
  if (slot.table.back() == op.block) return;  // it is there: a backend copies between two blocks only
  copies_.push_back({slot.table.back(), op.block});
  slot.table.back() = op.block;
  slot.kept = std::min(slot.kept, std::ssize(slot.table) - 1);
}

void SlotTable::Run(const SequencePlan& sequence, Rest& rest) {
  Slot& slot = slots_[sequence.slot];
  const SlotShape& shape = shapes_[sequence.slot];
  const std::span<const int32_t> blocks = TakeFirst(rest.blocks, sequence.blocks);
  slot.table.insert(slot.table.end(), blocks.begin(), blocks.end());
  sequences_.push_back({.slot = sequence.slot,
                        .first_row = rest.first_row,
                        .rows = sequence.rows,
                        .position = sequence.position,
                        .table = slot.table,
                        .kept = slot.kept,
                        .scaled_rope = shape.scaled_rope,
                        .adapter = shape.adapter});
  slot.kept = std::ssize(slot.table);
  if (limits_.ids_on_device && sequence.sampled_row != -1) {
    sampled_inputs_.push_back({.row = rest.first_row, .from = sequence.sampled_row});
  }
  if (limits_.samples) Sample(sequence, rest);
  rest.first_row += sequence.rows;
}

void SlotTable::Sample(const SequencePlan& sequence, Rest& rest) {
  SlotSampler& sampler = slots_[sequence.slot].sampler;
  const std::span<const TokenId> ids = ids_.subspan(rest.first_row, sequence.rows);
  sampler.Advance(sequence.position, ids, shapes_[sequence.slot].sure);
  const auto wanted = TakeFirst(rest.wanted, sequence.wanted);
  const auto samples = TakeFirst(rest.samples, sequence.wanted);
  for (const SampleSpec& spec : sampler.Specs(ids, wanted, static_cast<int32_t>(rest.first_row), samples)) {
    specs_.push_back(&spec);
  }
}

}  // namespace quire::worker
