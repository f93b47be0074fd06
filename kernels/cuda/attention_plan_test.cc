#include "kernels/cuda/attention_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>
#include <tuple>

namespace quire::kernels::cuda {

// The plan's header brings no device layer to the host's code: this would clash with its function.
[[maybe_unused]] constexpr int LaneIndex = 0;

namespace {

TEST(AttentionPlan, SplitsHoldTheirKeys) {
  for (int key = 0; key < 5000; ++key) {
    EXPECT_LE(SplitBegin(SplitOf(key)), key);
    EXPECT_GT(SplitBegin(SplitOf(key) + 1), key);
  }
}

struct Batch {
  std::vector<int32_t> pages = std::vector<int32_t>(400);
  std::vector<AttentionSpan> spans;
};

Batch RandomBatch(std::mt19937& random) {
  Batch batch;
  std::iota(batch.pages.begin(), batch.pages.end(), 7);
  int tokens = 0;
  for (size_t i = 0; i < 1 + random() % 9; ++i) {
    const int count = random() % 2 == 0 ? 1 : 1 + static_cast<int>(random() % 100);
    const int position = static_cast<int>(random() % 4000);
    const size_t pages = static_cast<size_t>((position + count + kPageKeys - 1) / kPageKeys);
    batch.spans.push_back({tokens, count, position, std::span(batch.pages).first(pages)});
    tokens += count;
  }
  return batch;
}

// Every (sequence, row, split) that a row needs, by one block; whatever else a block walks lies behind its
// rows.
void ExpectEachSplitOnce(const AttentionPlan& plan, const AttentionLimits& limits) {
  std::map<std::tuple<int, int, int>, int> walked;
  for (const auto* items : {&plan.narrow, &plan.wide}) {
    const int height = items == &plan.narrow ? kWarpRows : limits.wide_rows;
    for (const AttentionItem& item : *items) {
      const AttentionSequence& sequence = plan.sequences[item.sequence];
      for (int row = item.first_row; row < std::min(item.first_row + height, sequence.tokens * limits.group);
           ++row) {
        for (int split = item.first_split; split < item.end_split; ++split)
          ++walked[{item.sequence, row, split}];
      }
      // A block that writes the output itself walks all splits.
      EXPECT_TRUE(sequence.partial_offset >= 0 || item.first_split == 0);
    }
  }
  for (int i = 0; i < std::ssize(plan.sequences); ++i) {
    const AttentionSequence& sequence = plan.sequences[i];
    for (int row = 0; row < sequence.tokens * limits.group; ++row) {
      const int splits = SplitOf(sequence.position + row / limits.group) + 1;
      for (int split = 0; split < splits; ++split) EXPECT_EQ((walked[{i, row, split}]), 1) << i << " " << row;
    }
  }
}

// The partial rows of all that is combined are apart, and within what the plan asks for.
void ExpectPartialsApart(const AttentionPlan& plan, const AttentionLimits& limits) {
  std::set<int64_t> rows;
  for (const CombineToken& token : plan.combine) {
    for (int split = 0; split < token.splits; ++split) {
      for (int head = 0; head < limits.group * limits.kv_heads; ++head) {
        const int64_t row = token.partial_row + static_cast<int64_t>(split) * token.split_rows + head;
        EXPECT_LT(row, plan.partial_rows);
        EXPECT_TRUE(rows.insert(row).second);
      }
    }
  }
}

// As attention_plan.h promises, so that a graph can be captured for any batch of a size.
void ExpectItemsBounded(const AttentionPlan& plan, const Batch& batch, const AttentionLimits& limits) {
  size_t narrow = limits.narrow_blocks / limits.kv_heads, wide = limits.wide_blocks / limits.kv_heads;
  for (const AttentionSpan& span : batch.spans) {
    const int rows = span.tokens * limits.group;
    if (rows <= kWarpRows) {
      ++narrow;
    } else {
      wide += (rows + limits.wide_rows - 1) / limits.wide_rows;
    }
  }
  EXPECT_LE(plan.narrow.size(), narrow);
  EXPECT_LE(plan.wide.size(), wide);
}

TEST(AttentionPlan, WhateverTheCutEachSplitIsWalkedOnce) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    const Batch batch = RandomBatch(random);
    const AttentionLimits limits{.group = 5,
                                 .kv_heads = 2,
                                 .wide_rows = 64,
                                 .narrow_blocks = 1 << random() % 10,
                                 .wide_blocks = 1 << random() % 10};
    const absl::StatusOr<AttentionPlan> planned = PlanAttention(batch.spans, limits);
    ASSERT_TRUE(planned.ok()) << planned.status();
    const AttentionPlan& plan = *planned;
    ASSERT_EQ(plan.sequences.size(), batch.spans.size());
    ExpectEachSplitOnce(plan, limits);
    ExpectPartialsApart(plan, limits);
    ExpectItemsBounded(plan, batch, limits);
    for (size_t i = 0; i < batch.spans.size(); ++i) {
      const int first = plan.sequences[i].first_page;
      EXPECT_EQ(first % 4, 0);
      ASSERT_LE(first + batch.spans[i].pages.size(), plan.tables.size());
      EXPECT_TRUE(
          std::equal(batch.spans[i].pages.begin(), batch.spans[i].pages.end(), plan.tables.begin() + first));
    }
    EXPECT_EQ(plan.tables.size() % 4, 0u);
  }
}

TEST(AttentionPlan, OneSplitIsWrittenAtOnce) {
  const std::vector<int32_t> pages(kFineSplitKeys / kPageKeys);
  const AttentionSpan span{0, 1, kFineSplitKeys - 1, pages};
  const auto plan = PlanAttention({&span, 1}, {.narrow_blocks = 1 << 20});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->sequences[0].partial_offset, -1);
  EXPECT_EQ(plan->partial_rows, 0);
  EXPECT_TRUE(plan->combine.empty());
}

// What there is no room for is walked whole; decode steps come first.
TEST(AttentionPlan, PartialResultsKeepWithinTheirRoom) {
  const std::vector<int32_t> pages(200);
  const std::vector<AttentionSpan> spans = {
      {0, 100, 3000, pages}, {100, 1, 3000, pages}, {101, 1, 700, pages}};
  AttentionLimits limits{.group = 5, .kv_heads = 2, .narrow_blocks = 1 << 20, .wide_blocks = 1 << 20};
  const auto cut_of = [&](int64_t room) {
    limits.partial_rows = room;
    const auto plan = PlanAttention(spans, limits);
    EXPECT_TRUE(plan.ok()) << plan.status();
    EXPECT_LE(plan->partial_rows, room);
    ExpectEachSplitOnce(*plan, limits);
    ExpectPartialsApart(*plan, limits);
    std::vector<bool> cut;
    for (const AttentionSequence& sequence : plan->sequences) cut.push_back(sequence.partial_offset >= 0);
    return cut;
  };
  const int decode = 10 * (SplitOf(3000) + 1), small = 10 * (SplitOf(700) + 1);
  const int chunk = 1000 * (SplitOf(3099) + 1);
  EXPECT_EQ(cut_of(decode + small + chunk), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(cut_of(decode + small + chunk - 1), (std::vector<bool>{false, true, true}));
  EXPECT_EQ(cut_of(decode - 1), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(cut_of(0), (std::vector<bool>{false, false, false}));
}

TEST(AttentionPlan, SpansThatCannotBeAreRefused) {
  const std::vector<int32_t> pages(2);
  const auto message = [&](const AttentionSpan& span) {
    return std::string(PlanAttention({&span, 1}, {}).status().message());
  };
  EXPECT_EQ(message({0, 2, 30, pages}), "");
  EXPECT_EQ(message({0, 2, 31, pages}),
            "attention: span 0 ends at position 33, but its 2 pages hold 32: give it its whole block table");
  EXPECT_NE(message({0, 0, 3, pages}), "");
  EXPECT_NE(message({0, 1, -1, pages}), "");
  EXPECT_NE(message({-1, 1, 1, pages}), "");
}

TEST(AttentionPlan, IsFilledUpForAGraph) {
  const std::vector<int32_t> pages(100);
  const std::vector<AttentionSpan> spans = {{0, 1, 1000, pages}, {1, 50, 0, pages}};
  auto plan = PlanAttention(spans, {.narrow_blocks = 1 << 20});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const AttentionCounts before = plan->counts();
  EXPECT_EQ(before.narrow, 4);
  ASSERT_TRUE(FillUp(*plan, {before.narrow + 2, before.wide, before.combine + 1}).ok());
  EXPECT_EQ(plan->narrow.back().sequence, -1);
  EXPECT_EQ(plan->combine.back().splits, 0);
  EXPECT_EQ(plan->counts().narrow, before.narrow + 2);
  EXPECT_EQ(FillUp(*plan, before).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace quire::kernels::cuda
