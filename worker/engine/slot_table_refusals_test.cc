// That a plan that breaks a rule makes nothing of slots.
#include <gtest/gtest.h>

#include <algorithm>

#include "worker/engine/slot_table.h"
#include "worker/engine/test_slot_table.h"

namespace quire::worker {
namespace {

// Slot 0 is at position 20, slot 1 at 31 with guesses from 22 on; slot 2 is free.
class RefusedPlanTest : public SlotTableTest {
 protected:
  void SetUp() override {
    OpenAndRun();
    Apply(next_.Open({.slot = 1}).Rows(1, 0, std::vector<TokenId>(31, 9), {0, 1}).Want({}, 9).Want());
    Sampled({{.id = 1}, {.id = 2}});
  }
  // That it is, and that nothing has changed.
  void ExpectRefused(const BatchPlan& plan) {
    const std::vector<SlotShape> before(slots_.shapes().begin(), slots_.shapes().end());
    const std::vector<int32_t> tables[] = {Table(0), Table(1), Table(2)};
    EXPECT_TRUE(absl::IsInternal(slots_.Apply(plan)));
    EXPECT_TRUE(std::equal(before.begin(), before.end(), slots_.shapes().begin()));
    for (int32_t slot = 0; slot < 3; ++slot) EXPECT_EQ(Table(slot), tables[slot]);
    EXPECT_TRUE(slots_.sequences().empty() && slots_.copies().empty() && slots_.specs().empty());
  }
  void ExpectRefused(PlanBuilder& builder) { ExpectRefused(builder.Take()); }
};

TEST_F(RefusedPlanTest, NothingIsRefusedOfWhatIsRight) {
  Apply(next_.Rows(0, 20, {1}).Want().Op(RollBack{.slot = 1, .position = 22}).Op(CloseSlot{1}));
}

TEST_F(RefusedPlanTest, SlotsThatAreNotAsTheyMustBe) {
  for (const int32_t slot : {0, 1, -1, 3, INT32_MAX}) ExpectRefused(next_.Open({.slot = slot}));
  for (const int32_t slot : {2, -1, 3}) {
    ExpectRefused(next_.Op(CloseSlot{slot}));
    ExpectRefused(next_.Op(RollBack{.slot = slot, .position = 0}));
    ExpectRefused(next_.Op(CopyLastBlock{.slot = slot, .block = 7}));
    ExpectRefused(next_.Rows(slot, 0, {1}, {7}));
    ExpectRefused(next_.Op(ForkSlot{.slot = 2, .from = slot}));
  }
  ExpectRefused(next_.Op(ForkSlot{.slot = 1, .from = 0}));
  ExpectRefused(next_.Op(ForkSlot{.slot = 0, .from = 0}));
  ExpectRefused(next_.Op(CloseSlot{0}).Op(CloseSlot{0}));
  ExpectRefused(next_.Op(CloseSlot{0}).Rows(0, 20, {1}));
  ExpectRefused(next_.Rows(0, 20, {1}).Rows(0, 21, {1}));
  // What comes first is right, and is not done either.
  ExpectRefused(
      next_.Op(CloseSlot{1}).Op(CopyLastBlock{.slot = 0, .block = 7}).Rows(0, 20, {1}).Rows(2, 0, {1}));
}

TEST_F(RefusedPlanTest, OpeningsOfWhatIsNotThere) {
  ExpectRefused(next_.Open({.slot = 2, .scaled_rope = 2}));
  ExpectRefused(next_.Open({.slot = 2, .adapter = 2}));
  ExpectRefused(next_.Open({.slot = 2, .adapter = -1}));
  ExpectRefused(next_.Open({.slot = 2}, {}, {1, 1, 1, 1}));  // 64 positions of 50
  ExpectRefused(next_.Open({.slot = 2}, {}, {8}));
  ExpectRefused(next_.Open({.slot = 2}, Penalizing({1, 2}), {1}));
  for (const int32_t blocks : {1, -1, INT32_MAX, INT32_MIN}) {
    BatchPlan plan = next_.Open({.slot = 2}).Take();
    std::get<OpenSlot>(plan.ops[0]).blocks = blocks;
    ExpectRefused(plan);
  }
  BatchPlan plan = next_.Open({.slot = 2}).Take();
  plan.openings.clear();
  ExpectRefused(plan);
}

TEST_F(RefusedPlanTest, RowsThatDoNotFit) {
  ExpectRefused(next_.Rows(0, 19, {1}));
  ExpectRefused(next_.Rows(0, 21, {1}));
  ExpectRefused(next_.Rows(0, 20, {100}));
  ExpectRefused(next_.Rows(0, 20, {-1}));
  ExpectRefused(next_.Rows(0, 20, {1}, {3}));                          // a longer table
  ExpectRefused(next_.Rows(0, 20, std::vector<TokenId>(13, 1)));       // a shorter one
  ExpectRefused(next_.Rows(0, 20, std::vector<TokenId>(13, 1), {8}));  // no such block
  ExpectRefused(next_.Rows(0, 20, std::vector<TokenId>(13, 1), {-1}));
  ExpectRefused(next_.Rows(0, 20, std::vector<TokenId>(31, 1), {3, 4}));  // 51 positions of 50
  ExpectRefused(next_.Rows(0, 20, std::vector<TokenId>(41, 1), {3, 4}));  // and 41 tokens of 40
  for (const int32_t rows : {0, -1, 2, INT32_MAX, INT32_MIN}) {
    BatchPlan plan = next_.Rows(0, 20, {1}).Take();
    plan.sequences[0].rows = rows;
    ExpectRefused(plan);
  }
  for (const int32_t blocks : {1, -1, INT32_MAX, INT32_MIN}) {
    BatchPlan plan = next_.Rows(0, 20, {1}).Take();
    plan.sequences[0].blocks = blocks;
    ExpectRefused(plan);
  }
  for (const int left : {0, 1, 2}) {
    BatchPlan plan = next_.Rows(0, 20, {1}).Take();
    if (left == 0) plan.ids.push_back(0);
    if (left == 1) plan.blocks.push_back(0);
    if (left == 2) plan.wanted.push_back({});
    ExpectRefused(plan);
  }
}

TEST_F(RefusedPlanTest, ScoredRowsBehindSampledOnesOrOfNoId) {
  for (const int32_t id : {-2, INT32_MIN, 100, INT32_MAX}) {
    BatchPlan plan = next_.Rows(0, 20, {1}).Want().Take();
    plan.wanted[0].scored = id;
    ExpectRefused(plan);
  }
  BatchPlan plan = next_.Rows(0, 20, {1, 2}).Want({}, 1).Want().Take();
  plan.wanted[1].scored = 3;
  ExpectRefused(plan);
}

TEST_F(RefusedPlanTest, WantedRowsThatAreNotItsOwn) {
  for (const int32_t row : {-1, 0, 2, INT32_MAX, INT32_MIN}) {
    BatchPlan plan = next_.Rows(1, 31, {1}).Rows(0, 20, {1}).Want().Take();
    plan.wanted[0].row = row;
    ExpectRefused(plan);
  }
  for (const int32_t wanted : {0, 2, -1, INT32_MAX, INT32_MIN}) {
    BatchPlan plan = next_.Rows(0, 20, {1}).Want().Take();
    plan.sequences[0].wanted = wanted;
    ExpectRefused(plan);
  }
  ExpectRefused(next_.Rows(0, 20, {1, 2}).Want().Want({}, 1));               // in no order
  ExpectRefused(next_.Rows(0, 20, {1}).Want().Want().Want().Want().Want());  // five of four
  for (const int32_t row : {2, -2, INT32_MAX, INT32_MIN})
    ExpectRefused(next_.Rows(0, 20, {0}).FromSampled(row));
  BatchPlan plan = next_.Rows(0, 20, {1}).Want().Take();
  plan.samples.clear();
  ExpectRefused(plan);
}

TEST_F(RefusedPlanTest, TokensThatAreNoGuessesAndBlocksThatAreFull) {
  for (const int32_t position : {19, 21, -1, INT32_MAX, INT32_MIN}) {
    ExpectRefused(next_.Op(RollBack{.slot = 0, .position = position}));
  }
  for (const int32_t position : {21, 32}) ExpectRefused(next_.Op(RollBack{.slot = 1, .position = position}));
  for (const int32_t block : {8, -1}) ExpectRefused(next_.Op(CopyLastBlock{.slot = 0, .block = block}));
  Apply(next_.Rows(1, 31, {1}));
  ExpectRefused(next_.Op(CopyLastBlock{.slot = 1, .block = 7}));
  ExpectRefused(next_.Open({.slot = 2}).Op(CopyLastBlock{.slot = 2, .block = 7}));  // nothing stands in it
}

}  // namespace
}  // namespace quire::worker
