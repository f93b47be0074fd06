#include "gateway/generation/loop_guard.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

namespace quire::gateway {
namespace {

// After how many tokens the guard says so.
std::optional<size_t> FoundAfter(const std::vector<TokenId>& ids) {
  LoopGuard guard;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (guard.Push(ids[i])) return i + 1;
  }
  return std::nullopt;
}

// Of few ids, so that they repeat here and there.
std::vector<TokenId> Noise(std::mt19937& random, size_t count, int ids = 5) {
  std::vector<TokenId> noise(count);
  for (TokenId& id : noise) id = static_cast<TokenId>(random() % ids);
  return noise;
}

std::vector<TokenId> Looping(std::mt19937& random, size_t before, size_t period, size_t tokens) {
  std::vector<TokenId> ids = Noise(random, before);
  const std::vector<TokenId> round = Noise(random, period, 1000);
  for (size_t i = 0; i < tokens; ++i) ids.push_back(round[i % period]);
  return ids;
}

TEST(LoopGuardTest, FindsALoopOfEachPeriodAsSoonAsItLooks) {
  std::mt19937 random(1);
  for (size_t period = 1; period <= LoopGuard::kMaxPeriod; period += period < 20 ? 1 : 17) {
    const size_t before = random() % 5000;
    const size_t needed = std::max(LoopGuard::kMinTokens, period * LoopGuard::kMinRounds);
    const auto found = FoundAfter(Looping(random, before, period, 2 * needed));
    ASSERT_TRUE(found) << period;
    EXPECT_LT(*found, before + needed + LoopGuard::kEvery) << period;
    EXPECT_GT(*found + period, before + needed) << "the noise may happen to end as the loop does: " << period;
  }
}

// What a naive look at every period says of the same tokens.
TEST(LoopGuardTest, SaysWhatANaiveOneSays) {
  const auto naive = [](const std::vector<TokenId>& ids) {
    for (size_t period = 1; period <= LoopGuard::kMaxPeriod; ++period) {
      const size_t needed = std::max(LoopGuard::kMinTokens, period * LoopGuard::kMinRounds);
      size_t tail = period;
      while (tail < ids.size() && ids[ids.size() - 1 - tail] == ids[ids.size() - 1 - tail + period]) ++tail;
      if (tail >= needed && ids.size() >= needed) return true;
    }
    return false;
  };
  std::mt19937 random(2);
  int loops = 0;
  for (int round = 0; round < 60; ++round) {
    const size_t period = 1 + random() % 300;
    const std::vector<TokenId> ids = Looping(random, random() % 800, period, random() % 1500);
    std::optional<size_t> expected;
    for (size_t n = LoopGuard::kEvery; n <= ids.size() && !expected; n += LoopGuard::kEvery) {
      if (naive({ids.begin(), ids.begin() + static_cast<ptrdiff_t>(n)})) expected = n;
    }
    loops += expected.has_value();
    EXPECT_EQ(FoundAfter(ids), expected) << round;
  }
  EXPECT_GT(loops, 10);
  EXPECT_LT(loops, 60);
}

TEST(LoopGuardTest, LeavesAloneWhatOnlyLooksLikeOne) {
  std::mt19937 random(3);
  EXPECT_FALSE(FoundAfter(Noise(random, 20'000)));
  EXPECT_FALSE(FoundAfter(std::vector<TokenId>(LoopGuard::kMinTokens - 1, 7))) << "a long line";
  EXPECT_FALSE(FoundAfter(Looping(random, 100, LoopGuard::kMaxPeriod + 1, 4000))) << "a long list";
  std::vector<TokenId> counting;  // one token of each row differs
  for (TokenId row = 0; row < 500; ++row) counting.insert(counting.end(), {1, 2, 3, 1000 + row, 4, 5});
  EXPECT_FALSE(FoundAfter(counting));
}

}  // namespace
}  // namespace quire::gateway
