#include "worker/parallel/rank_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace quire::worker {
namespace {

std::vector<std::vector<float>> RandomParts(int ranks, int64_t count) {
  std::mt19937 random(static_cast<uint32_t>(ranks));
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> parts(ranks, std::vector<float>(count));
  for (auto& part : parts) {
    for (float& value : part) value = normal(random);
  }
  return parts;
}

std::vector<float> Sum(const std::vector<std::vector<float>>& parts) {
  std::vector<const float*> pointers;
  for (const auto& part : parts) pointers.push_back(part.data());
  std::vector<float> out(parts[0].size());
  SumRanks(pointers, std::ssize(out), out.data());
  return out;
}

// Halves that are summed by themselves give the whole's bits: what ranks rely on that own subtrees.
TEST(RankSumTest, OfAPowerOfTwoItIsTheSumOfItsHalves) {
  for (const int ranks : {2, 4, 8}) {
    const auto parts = RandomParts(ranks, 1003);
    const auto middle = parts.begin() + ranks / 2;
    const std::vector<float> left = Sum({parts.begin(), middle}), right = Sum({middle, parts.end()});
    EXPECT_EQ(Sum(parts), Sum({left, right})) << ranks;
  }
}

TEST(RankSumTest, OfOtherNumbersItGoesByRank) {
  for (const int ranks : {1, 3, 5, 6, 7, 9, 16}) {
    const auto parts = RandomParts(ranks, 37);
    const std::vector<float> sum = Sum(parts);
    for (size_t i = 0; i < sum.size(); ++i) {
      float want = parts[0][i];
      for (int r = 1; r < ranks; ++r) want += parts[r][i];
      EXPECT_EQ(sum[i], want) << ranks << " ranks, " << i;
    }
  }
}

}  // namespace
}  // namespace quire::worker
