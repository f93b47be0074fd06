// A step's inputs as the ops see them, and each way to break their contract.
#include "kernels/host_step.h"

#include <gtest/gtest.h>

namespace quire::kernels {
namespace {

constexpr StepLimits kLimits{.tokens = 5, .sequences = 2, .wanted_rows = 2, .table_blocks = 3};

class HostStepTest : public testing::Test {
 protected:
  HostStepTest() { step_.Reserve(kLimits); }

  std::vector<int32_t> ids_ = {7, 8, 9, 10, 11};
  std::vector<int32_t> table_ = {4, 2, 9}, other_table_ = {1};
  std::vector<SequenceRows> sequences_ = {{.first_row = 0, .rows = 3, .position = 45, .blocks = table_},
                                          {.first_row = 3, .rows = 2, .blocks = other_table_, .slot = 1}};
  std::vector<int64_t> wanted_ = {2, 4};
  StepBucket Take() { return step_.Take({.ids = ids_, .sequences = sequences_, .wanted_rows = wanted_}); }

  HostStep step_;
};

TEST_F(HostStepTest, KeepsCopiesOfTheLargestStepThatWasReserved) {
  for (int round = 0; round < 2; ++round) {  // nothing is left of the step before
    const StepBucket bucket = Take();
    EXPECT_EQ(bucket.tokens, 5);
    EXPECT_EQ(bucket.wanted_rows, 2);
  }
  ids_.assign(5, 0);
  table_.assign(3, 0);
  other_table_.assign(1, 0);
  wanted_.clear();
  sequences_.clear();
  EXPECT_EQ(std::vector(step_.ids().begin(), step_.ids().end()), (std::vector<int32_t>{7, 8, 9, 10, 11}));
  ASSERT_EQ(step_.sequences().size(), 2u);
  const SequenceRows first = step_.sequences()[0], second = step_.sequences()[1];
  EXPECT_EQ(first.position, 45);
  EXPECT_EQ(std::vector(first.blocks.begin(), first.blocks.end()), (std::vector<int32_t>{4, 2, 9}));
  EXPECT_EQ(std::vector(second.blocks.begin(), second.blocks.end()), (std::vector<int32_t>{1}));
  EXPECT_EQ(step_.wanted_rows().back(), 4);
}

TEST_F(HostStepTest, RowsBeginWithWhatTheStepBeforeSampled) {
  const std::vector<SampledToken> before = {{.id = 40}, {.id = 41, .failed = true}, {.id = 42}};
  const std::vector<SampledInput> sampled = {
      {.row = 0, .from = 2}, {.row = 1, .from = 1}, {.row = 4, .from = 2}};
  const StepInputs inputs{.ids = ids_, .sequences = sequences_, .wanted_rows = wanted_, .sampled = sampled};
  step_.Take(inputs, before);
  EXPECT_EQ(std::vector(step_.ids().begin(), step_.ids().end()), (std::vector<int32_t>{42, 0, 9, 10, 42}));
  EXPECT_DEATH(step_.Take(inputs, std::span(before).first(2)), "none was sampled");
  EXPECT_DEATH(step_.Take(inputs), "none was sampled") << "of a backend that does not run ahead";
}

TEST_F(HostStepTest, ATableStandsInItsSlotAndIsToldWhatIsNew) {
  Take();
  const std::vector<int32_t> next = {6}, instead = {8};
  const auto taken = [&](SequenceRows rows) {
    sequences_ = {rows};
    wanted_.clear();
    Take();
    const SequenceRows got = step_.sequences()[0];
    EXPECT_EQ(got.kept, rows.kept);
    return std::vector(got.blocks.begin(), got.blocks.end());
  };
  using Table = std::vector<int32_t>;
  EXPECT_EQ(taken({.rows = 1, .position = 2, .slot = 1, .kept = 1}), (Table{1})) << "nothing is new";
  EXPECT_EQ(taken({.rows = 1, .position = 16, .blocks = next, .slot = 1, .kept = 1}), (Table{1, 6}));
  EXPECT_EQ(taken({.rows = 1, .position = 44, .slot = 0, .kept = 3}), (Table{4, 2, 9}))
      << "a step was left out";
  EXPECT_EQ(taken({.rows = 1, .position = 20, .blocks = instead, .slot = 0, .kept = 1}), (Table{4, 8}));
  EXPECT_EQ(taken({.rows = 1, .position = 3, .slot = 0, .kept = 1}), (Table{4})) << "taken back";
  sequences_ = {{.rows = 1, .slot = 0, .kept = 2}};
  EXPECT_DEATH(Take(), "more blocks to keep than the slot has");
  step_.Reserve(kLimits);
  sequences_ = {{.rows = 1, .slot = 1, .kept = 1}};
  EXPECT_DEATH(Take(), "more blocks to keep than the slot has");
}

TEST_F(HostStepTest, ARowMayBeWantedSeveralTimes) {
  wanted_ = {4, 4};
  EXPECT_EQ(Take().wanted_rows, 2);
}

TEST_F(HostStepTest, SaysWhatItTakes) {
  const int64_t sequence = sizeof(SequenceRows) + 2 * 8 + 3 * 4;
  EXPECT_EQ(HostStep::BytesFor(kLimits), 5 * 4 + 2 * 8 + 2 * sequence);
}

TEST_F(HostStepTest, AStepBeyondWhatIsReservedStopsItsCaller) {
  ids_.push_back(1);
  EXPECT_DEATH(Take(), "more tokens");
  ids_.pop_back();
  table_.push_back(1);
  sequences_[0].blocks = table_;
  EXPECT_DEATH(Take(), "a longer block table");
  sequences_[0].blocks = std::span(table_).first(3);
  sequences_.push_back({});
  EXPECT_DEATH(Take(), "more sequences");
  sequences_.pop_back();
  wanted_ = {1, 2, 3};
  EXPECT_DEATH(Take(), "more wanted rows");
}

TEST_F(HostStepTest, RowsAndTablesThatDoNotFitStopTheirCaller) {
  for (const std::vector<int64_t>& rows : {std::vector<int64_t>{4, 2}, {-1}, {5}}) {
    wanted_ = rows;
    EXPECT_DEATH(Take(), "wanted rows are not ascending rows");
  }
  wanted_.clear();
  sequences_[0].position = 46;  // its last token would stand beyond its three blocks
  EXPECT_DEATH(Take(), "block table is too short");
  sequences_[0].position = -1;
  EXPECT_DEATH(Take(), "block table is too short");
  sequences_[0].position = 0;
  sequences_[1].first_row = 4;
  EXPECT_DEATH(Take(), "rows out of range");
  sequences_[1].first_row = 2;
  EXPECT_DEATH(Take(), "another sequence's");
  sequences_[1].first_row = 3;
  sequences_[1].rows = INT64_MAX;
  EXPECT_DEATH(Take(), "rows out of range");
  sequences_[1].rows = 2;
  sequences_[1].position = INT64_MAX;
  EXPECT_DEATH(Take(), "block table is too short");
  sequences_[1].position = 0;
  sequences_[1].slot = 0;
  EXPECT_DEATH(Take(), "two sequences are in one slot");
  for (const int64_t slot : {-1, 2}) {
    sequences_[1].slot = slot;
    EXPECT_DEATH(Take(), "no such slot");
  }
  sequences_[1].slot = 1;
  for (const int64_t kept : {int64_t{-1}, int64_t{1}, INT64_MAX}) {
    sequences_[1].kept = kept;
    EXPECT_DEATH(Take(), "more blocks to keep");
  }
}

}  // namespace
}  // namespace quire::kernels
