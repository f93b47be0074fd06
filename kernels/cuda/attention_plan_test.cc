#include "kernels/cuda/attention_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>
#include <tuple>

namespace quire::kernels::cuda {
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

TEST(AttentionPlan, WhateverTheCutEachSplitIsWalkedOnce) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    const Batch batch = RandomBatch(random);
    const AttentionLimits limits{.group = 5,
                                 .kv_heads = 2,
                                 .wide_rows = 64,
                                 .narrow_blocks = 1 << random() % 10,
                                 .wide_blocks = 1 << random() % 10};
    const AttentionPlan plan = PlanAttention(batch.spans, limits);
    ASSERT_EQ(plan.sequences.size(), batch.spans.size());
    ExpectEachSplitOnce(plan, limits);
    ExpectPartialsApart(plan, limits);
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

}  // namespace
}  // namespace quire::kernels::cuda
