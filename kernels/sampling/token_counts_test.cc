#include "kernels/sampling/token_counts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace quire::kernels {
namespace {

// By reading the whole sequence.
absl::flat_hash_map<TokenId, TokenCount> Recounted(const std::vector<TokenId>& prompt,
                                                   const std::vector<TokenId>& output) {
  absl::flat_hash_map<TokenId, TokenCount> counts;
  for (const TokenId id : prompt) counts[id].in_prompt = true;
  for (const TokenId id : output) ++counts[id].output;
  return counts;
}

void ExpectEqual(const TokenCounts& got, const absl::flat_hash_map<TokenId, TokenCount>& want) {
  ASSERT_EQ(got.counts().size(), want.size());
  for (const auto& [id, count] : want) {
    const auto found = got.counts().find(id);
    ASSERT_TRUE(found != got.counts().end()) << id;
    EXPECT_EQ(found->second.output, count.output) << id;
    EXPECT_EQ(found->second.in_prompt, count.in_prompt) << id;
  }
}

TEST(TokenCountsTest, FollowASequenceThatGrowsAndIsTakenBack) {
  std::mt19937 random(1);
  const std::vector<TokenId> prompt = {0, 1, 1, 7, 20};
  std::vector<TokenId> output;
  TokenCounts counts;
  counts.AddPrompt(prompt);
  for (int i = 0; i < 2000; ++i) {
    if (random() % 3 == 0 && !output.empty()) {
      counts.RemoveOutput(output.back());
      output.pop_back();
    } else {
      output.push_back(static_cast<TokenId>(random() % 30));
      counts.AddOutput(output.back());
    }
    if (i % 20 == 0) ExpectEqual(counts, Recounted(prompt, output));
  }
  counts.RemoveOutput(10'000);  // never came
  ExpectEqual(counts, Recounted(prompt, output));
  counts.Clear();
  EXPECT_TRUE(counts.counts().empty());
}

// What the map itself says that it holds.
TEST(TokenCountsTest, TakeNoMoreMemoryThanIsSaid) {
  for (const int64_t tokens : {1, 7, 8, 100, 896, 897, 8192, 50'000}) {
    TokenCounts counts;
    for (int64_t i = 0; i < tokens; ++i) counts.AddOutput(static_cast<TokenId>(i * 3));
    const auto places = static_cast<int64_t>(counts.counts().capacity());
    const int64_t bytes = places * (static_cast<int64_t>(sizeof(std::pair<TokenId, TokenCount>)) + 1);
    EXPECT_LE(bytes, TokenCounts::BytesFor(tokens, 1 << 20)) << tokens;
    EXPECT_GE(3 * bytes + 100, TokenCounts::BytesFor(tokens, 1 << 20)) << tokens;
  }
  EXPECT_EQ(TokenCounts::BytesFor(100'000, 500), TokenCounts::BytesFor(500, 500));
}

}  // namespace
}  // namespace quire::kernels
