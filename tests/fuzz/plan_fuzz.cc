// Bytes from rank 0 -> plans -> a follower's slots: each plan is refused and changes nothing, or the slots
// are such that its rows stay within what there is. The input is a run of messages, each after its length in
// two bytes; a first byte says whether the slots sample as rank 0's do, and whether a device has the ids.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "base/core/hash.h"
#include "worker/engine/slot_table.h"
#include "worker/parallel/plan_codec.h"

namespace {

using quire::BlocksFor;
using quire::worker::BatchPlan;
using quire::worker::SlotRows;
using quire::worker::SlotShape;
using quire::worker::SlotTable;

constexpr int kSlots = 4;

void Require(bool holds) {
  if (!holds) std::abort();
}

quire::worker::SlotLimits Limits(bool samples, bool ids_on_device) {
  return {.slots = kSlots,
          .batch_tokens = 64,
          .wanted_rows = 8,
          .kv_blocks = 16,
          .token_ids = 1000,
          .plain_context = 100,
          .scaled_context = 200,
          .adapters = 2,
          .samples = samples,
          .ids_on_device = ids_on_device};
}

// All that a slot is.
struct SlotsNow {
  std::vector<SlotShape> shapes;
  std::vector<std::vector<int32_t>> tables;
  explicit SlotsNow(const SlotTable& slots) : shapes(slots.shapes().begin(), slots.shapes().end()) {
    for (int32_t slot = 0; slot < kSlots; ++slot) {
      tables.emplace_back(slots.table(slot).begin(), slots.table(slot).end());
    }
  }
  bool operator==(const SlotsNow&) const = default;
};

void CheckSlots(const SlotTable& slots) {
  const SlotsNow now(slots);
  for (size_t slot = 0; slot < kSlots; ++slot) {
    const SlotShape& shape = now.shapes[slot];
    Require(std::ssize(now.tables[slot]) == BlocksFor(shape.position) && (shape.open || shape.position == 0));
    Require(0 <= shape.sure && shape.sure <= shape.position);
    Require(shape.position <= (shape.scaled_rope ? 200 : 100));
    for (const int32_t block : now.tables[slot]) Require(block >= 0 && block < 16);
  }
  int64_t row = 0;
  for (const SlotRows& rows : slots.sequences()) {
    Require(rows.first_row == row && rows.rows >= 1);
    Require(rows.kept >= 0 && rows.kept <= std::ssize(rows.table));
    Require(std::ssize(rows.table) == BlocksFor(rows.position + rows.rows));
    row += rows.rows;
  }
  Require(row == std::ssize(slots.ids()) && row <= 64);
  for (const quire::TokenId id : slots.ids()) Require(id >= 0 && id < 1000);
  for (const auto& [begins, from] : slots.sampled()) {
    Require(begins >= 0 && begins < row && from >= 0 && from < 8);
  }
  for (const auto& [from, to] : slots.copies()) {
    Require(from >= 0 && from < 16 && to >= 0 && to < 16 && from != to);
  }
}

// What rank 0 would have said of how rows are sampled: a penalty, for the counts.
void Complete(BatchPlan& plan) {
  for (const auto& op : plan.ops) {
    if (!std::holds_alternative<quire::worker::OpenSlot>(op)) continue;
    auto& sampling = plan.openings.emplace_back();
    sampling.params.presence_penalty = static_cast<float>(plan.step % 2);
    sampling.tokens = static_cast<int64_t>(plan.step % 200);
  }
  for (size_t i = 0; i < plan.wanted.size(); ++i) plan.samples.push_back({.masked = i % 2 == 0});
}

void TakeIn(std::span<const uint8_t> bytes, bool samples, SlotTable& slots) {
  auto decoded = quire::worker::DecodeOrder(bytes);
  if (!decoded.ok() || decoded->order != quire::worker::FollowerOrder::kPlan) return;
  BatchPlan& plan = decoded->plan;
  std::vector<uint8_t> said(EncodePlan(plan, std::nullopt, {}));
  Require(EncodePlan(plan, std::nullopt, said) == said.size() && said.size() <= bytes.size());
  Require(std::ranges::equal(said, bytes.first(said.size())));
  if (samples) Complete(plan);
  const SlotsNow before(slots);
  if (!slots.Apply(plan).ok()) return Require(SlotsNow(slots) == before);
  CheckSlots(slots);
  Require(slots.specs().size() == (samples ? plan.wanted.size() : 0));
  for (const quire::worker::SampleSpec* spec : slots.specs()) Require(spec->uncounted.size() <= 64);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool samples = data[0] % 2 == 1;
  SlotTable slots(Limits(samples, data[0] / 2 % 2 == 1));
  std::span<const uint8_t> rest(data + 1, size - 1);
  while (rest.size() > 2) {
    const size_t length = std::min<size_t>(rest[0] | rest[1] << 8, rest.size() - 2);
    TakeIn(rest.subspan(2, length), samples, slots);
    rest = rest.subspan(2 + length);
  }
  return 0;
}
