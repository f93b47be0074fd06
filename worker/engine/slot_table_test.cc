// What plans make of slots.
#include "worker/engine/slot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/test_slot_table.h"

namespace quire::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(SlotTableTest, FollowsASequenceByWhatIsNew) {
  OpenAndRun();
  EXPECT_THAT(Table(0), ElementsAre(5, 2));
  EXPECT_EQ(slots_.sequences()[0].kept, 0);
  Apply(next_.Rows(0, 20, {1}));
  EXPECT_EQ(slots_.sequences()[0].kept, 2) << "nothing is new";
  Apply(next_.Rows(0, 21, std::vector<TokenId>(12, 1), {4}));
  EXPECT_THAT(Table(0), ElementsAre(5, 2, 4));
  EXPECT_EQ(slots_.sequences()[0].kept, 2);
  EXPECT_EQ(slots_.sequences()[0].table.size(), 3u);
  Apply(next_.Op(CloseSlot{0})
            .Open({.slot = 0, .scaled_rope = 1, .adapter = 1}, {}, {3, 1})
            .Rows(0, 32, {9}, {0}));
  EXPECT_THAT(Table(0), ElementsAre(3, 1, 0));
  const SlotRows rows = slots_.sequences()[0];
  EXPECT_EQ(rows.kept, 0);
  EXPECT_TRUE(rows.scaled_rope);
  EXPECT_EQ(rows.adapter, 1);
}

TEST_F(SlotTableTest, RowsStandInThePlansOrder) {
  OpenAndRun();
  Apply(next_.Open({.slot = 2})
            .Rows(2, 0, {4, 5, 6}, {1})
            .Want({.choice = 3, .position = 9})
            .Rows(0, 20, {8})
            .Want());
  ASSERT_EQ(slots_.sequences().size(), 2u);
  EXPECT_EQ(slots_.sequences()[0].slot, 2);
  EXPECT_EQ(slots_.sequences()[1].first_row, 3);
  EXPECT_THAT(std::vector(slots_.ids().begin(), slots_.ids().end()), ElementsAre(4, 5, 6, 8));
  ASSERT_EQ(slots_.specs().size(), 2u);
  EXPECT_EQ(slots_.specs()[0]->choice, 3u);
  EXPECT_EQ(slots_.specs()[0]->position, 9u);
}

TEST_F(SlotTableTest, RowsBeginWithWhatWasSampled) {
  OpenAndRun(Penalizing(std::vector<TokenId>(20, 7)));
  Sampled({{.id = 42}});
  Apply(next_.Open({.slot = 1}).Rows(1, 0, {3, 3}, {0}).Rows(0, 20, {0, 43}).FromSampled(0).Want());
  EXPECT_THAT(std::vector(slots_.ids().begin(), slots_.ids().end()), ElementsAre(3, 3, 42, 43));
  EXPECT_EQ(OutputsAt(0), (Outputs{{42, 1}, {43, 1}}));
  Sampled({{.id = -1, .failed = true}});
  Apply(next_.Rows(0, 22, {0}).FromSampled(0));
  EXPECT_THAT(std::vector(slots_.ids().begin(), slots_.ids().end()), ElementsAre(0)) << "it runs for nobody";
  Sampled({});
  EXPECT_TRUE(absl::IsInternal(slots_.Apply(next_.Rows(0, 23, {0}).FromSampled(0).Take())));
}

TEST_F(SlotTableTest, AForkSharesTheTableUntilItsLastBlockIsCopied) {
  OpenAndRun();
  Apply(next_.Op(ForkSlot{.slot = 1, .from = 0})
            .Op(CopyLastBlock{.slot = 1, .block = 6})
            .Rows(0, 20, {1})
            .Rows(1, 20, {2}));
  EXPECT_THAT(Table(0), ElementsAre(5, 2));
  EXPECT_THAT(Table(1), ElementsAre(5, 6));
  ASSERT_EQ(slots_.copies().size(), 1u);
  EXPECT_EQ(slots_.copies()[0].from, 2);
  EXPECT_EQ(slots_.copies()[0].to, 6);
  EXPECT_EQ(slots_.sequences()[1].kept, 0) << "a slot that has not run";
  // The one that ran before tells anew what it replaced.
  Apply(next_.Op(CopyLastBlock{.slot = 0, .block = 3}).Rows(0, 21, {1}));
  EXPECT_EQ(slots_.sequences()[0].kept, 1);
  EXPECT_THAT(slots_.sequences()[0].table, ElementsAre(5, 3));
}

// As bytes of another process may say, and no backend takes.
TEST_F(SlotTableTest, ABlockIsNotCopiedOntoItself) {
  OpenAndRun();
  Apply(next_.Op(CopyLastBlock{.slot = 0, .block = 2}).Rows(0, 20, {1}));
  EXPECT_TRUE(slots_.copies().empty());
  EXPECT_THAT(Table(0), ElementsAre(5, 2));
}

TEST_F(SlotTableTest, GuessesAreTakenBackWithTheirBlocks) {
  OpenAndRun();
  // 20 is the sequence's, 21 to 34 are guesses.
  Apply(next_.Rows(0, 20, std::vector<TokenId>(15, 1), {4}).Want({}, 14).Want({}, 13));
  Apply(next_.Op(RollBack{.slot = 0, .position = 25}).Rows(0, 25, {1, 1}));
  EXPECT_THAT(Table(0), ElementsAre(5, 2));
  EXPECT_EQ(slots_.sequences()[0].kept, 2);
  EXPECT_EQ(slots_.shapes()[0].position, 27);
  EXPECT_TRUE(absl::IsInternal(slots_.Apply(next_.Op(RollBack{.slot = 0, .position = 26}).Take())))
      << "nothing was wanted: no row was a guess";
}

// What is known to come next is no guess, and asks nothing of how the slot's tokens are sampled.
TEST_F(SlotTableTest, ScoredRowsStandAndRowsBehindThemAreSampledAsEver) {
  OpenAndRun(Penalizing(std::vector<TokenId>(20, 7), {8}));
  BatchPlan plan = next_.Rows(0, 20, {8, 30}).Want({.top_logprobs = 4}, 1).Want({.choice = 2}).Take();
  plan.wanted[0].scored = 30;
  ASSERT_TRUE(slots_.Apply(plan).ok());
  ASSERT_EQ(slots_.specs().size(), 2u);
  EXPECT_EQ(slots_.specs()[0]->scored, 30);
  EXPECT_EQ(slots_.specs()[0]->params.top_logprobs, 4);
  EXPECT_FALSE(slots_.specs()[0]->params.penalizes());
  EXPECT_EQ(slots_.specs()[1]->scored, -1);
  EXPECT_TRUE(slots_.specs()[1]->params.penalizes());
  EXPECT_TRUE(absl::IsInternal(slots_.Apply(next_.Op(RollBack{.slot = 0, .position = 21}).Take())));
  Apply(next_.Rows(0, 22, {9}).Want());
  EXPECT_EQ(slots_.specs()[0]->scored, -1);
  EXPECT_EQ(OutputsAt(0), (Outputs{{8, 1}, {9, 1}, {30, 1}}));
}

TEST_F(SlotTableTest, PenaltiesCountTheTokensBeforeEachRow) {
  OpenAndRun(Penalizing(std::vector<TokenId>(20, 7), {8}));  // 8 is known, and runs next
  EXPECT_EQ(OutputsAt(0), (Outputs{{8, 1}}));
  Apply(next_.Rows(0, 20, {8, 30, 31}).Want({}, 2).Want({}, 1).Want());
  EXPECT_EQ(OutputsAt(0), (Outputs{{8, 1}}));
  EXPECT_EQ(OutputsAt(1), (Outputs{{8, 1}, {30, 1}}));
  EXPECT_EQ(OutputsAt(2), (Outputs{{8, 1}, {30, 1}, {31, 1}}));
  // 30 was right, and 9 came instead of 31.
  Apply(next_.Op(RollBack{.slot = 0, .position = 22}).Rows(0, 22, {9}).Want());
  EXPECT_EQ(OutputsAt(0), (Outputs{{8, 1}, {9, 1}, {30, 1}}));
  // Guesses that nobody takes back are the sequence's.
  Apply(next_.Rows(0, 23, {9, 50}).Want({}, 1).Want());
  Apply(next_.Rows(0, 25, {51}).Want());
  EXPECT_EQ(OutputsAt(0), (Outputs{{8, 1}, {9, 2}, {30, 1}, {50, 1}, {51, 1}}));
}

TEST_F(SlotTableTest, AForkCountsForItself) {
  OpenAndRun(Penalizing(std::vector<TokenId>(20, 7)));
  Apply(next_.Op(ForkSlot{.slot = 1, .from = 0})
            .Op(CopyLastBlock{.slot = 1, .block = 6})
            .Rows(0, 20, {1})
            .Want()
            .Rows(1, 20, {2})
            .Want());
  EXPECT_EQ(OutputsAt(0), (Outputs{{1, 1}}));
  EXPECT_EQ(OutputsAt(1), (Outputs{{2, 1}}));
  EXPECT_NE(slots_.specs()[0]->counts, slots_.specs()[1]->counts);
}

TEST_F(SlotTableTest, ARowIsSampledAsOftenAsItIsWanted) {
  Apply(next_.Open({.slot = 0}, Penalizing({1, 2, 3}))
            .Rows(0, 0, {1, 2, 3}, {0})
            .Want({.choice = 4})
            .Want({.choice = 5}));
  ASSERT_EQ(slots_.specs().size(), 2u);
  EXPECT_EQ(slots_.specs()[0]->choice, 4u);
  EXPECT_EQ(slots_.specs()[1]->choice, 5u);
  EXPECT_EQ(OutputsAt(0), Outputs());
  EXPECT_EQ(OutputsAt(1), Outputs());
  EXPECT_EQ(slots_.shapes()[0].sure, 3) << "none is a guess";
}

TEST_F(SlotTableTest, MasksAreOfTheRowThatSaysSo) {
  SlotSampling sampling;
  sampling.params.masked_ids = {2, 3};
  sampling.seed = 17;
  OpenAndRun(sampling);
  EXPECT_THAT(slots_.specs()[0]->params.masked_ids, IsEmpty());
  Apply(next_.Rows(0, 20, {1}).Want({.masked = true, .allowed = {5, 6}}));
  EXPECT_THAT(slots_.specs()[0]->params.masked_ids, ElementsAre(2, 3));
  EXPECT_THAT(slots_.specs()[0]->allowed, ElementsAre(5, 6));
  EXPECT_EQ(slots_.specs()[0]->counts, nullptr);
  EXPECT_EQ(slots_.specs()[0]->seed, 17u);
  Apply(next_.Rows(0, 21, {1}).Want());
  EXPECT_THAT(slots_.specs()[0]->params.masked_ids, IsEmpty());
  EXPECT_THAT(slots_.specs()[0]->allowed, IsEmpty());
}

TEST_F(SlotTableTest, AFollowerNeedsNothingThatIsSampledBy) {
  SlotLimits limits = kTestLimits;
  limits.samples = false;
  SlotTable follower(limits);
  BatchPlan plan = next_.Open({.slot = 0}).Rows(0, 0, {1}, {0}).Want().Take();
  plan.openings.clear();
  plan.samples.clear();
  EXPECT_TRUE(absl::IsInternal(slots_.Apply(plan))) << "rank 0 does";
  ASSERT_TRUE(follower.Apply(plan).ok());
  EXPECT_TRUE(follower.specs().empty());
}

// What the step in flight samples is for the device to look up.
TEST(SlotTable, ADeviceIsToldFromWhichRowsItsIdsCome) {
  SlotLimits limits = kTestLimits;
  limits.ids_on_device = true;
  SlotTable slots(limits);
  PlanBuilder next;
  const auto apply = [&](PlanBuilder& builder) { return slots.Apply(builder.Take()); };
  ASSERT_TRUE(apply(next.Open({.slot = 0}).Rows(0, 0, {1, 2, 3}, {5}).Want()).ok());
  next.Open({.slot = 1}).Rows(1, 0, {3, 3}, {0}).Want().Rows(0, 3, {0}).FromSampled(0).Want();
  ASSERT_TRUE(apply(next).ok());
  ASSERT_EQ(slots.sampled().size(), 1u);
  EXPECT_EQ(slots.sampled()[0].row, 2);
  EXPECT_EQ(slots.sampled()[0].from, 0);
  EXPECT_TRUE(absl::IsInternal(apply(next.Rows(0, 4, {0}).FromSampled(2)))) << "two were";
  EXPECT_TRUE(slots.sampled().empty() && slots.sequences().empty());
  ASSERT_TRUE(apply(next.Rows(0, 4, {0}).FromSampled(1)).ok());
  EXPECT_EQ(slots.sampled()[0].from, 1);
  EXPECT_FALSE(apply(next.Rows(0, 5, {0}).FromSampled(0)).ok()) << "nothing was";
}

TEST(SlotTable, TakesWhatItSays) {
  const int64_t one = SlotTable::BytesFor(1, 1000);
  EXPECT_EQ(SlotTable::BytesFor(3, 1000), 3 * one);
  EXPECT_EQ(SlotTable::BytesFor(1, 1016) - one, 4);
}

}  // namespace
}  // namespace quire::worker
