#include "coordinator/routing/prefix_memory.h"

#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

const GroupEpoch kA{"a", 1}, kB{"b", 1};

TEST(PrefixMemory, CountsLeadingBlocksWithoutAGap) {
  PrefixMemory memory;
  memory.Remember({"1", "2", "3"}, kA);
  memory.Remember({"1"}, kB);
  memory.Remember({"3"}, kB);
  const auto match = memory.Match({"1", "2", "3", "4"});
  EXPECT_EQ(match.at(kA), 3u);
  EXPECT_EQ(match.at(kB), 1u);
  EXPECT_TRUE(memory.Match({"9", "1"}).empty());
  EXPECT_TRUE(memory.Match({"3"}).contains(kB));
}

TEST(PrefixMemory, ForgetsTheLeastRecentlyUsed) {
  PrefixMemory memory(2);
  memory.Remember({"1", "2"}, kA);
  memory.Remember({"1", "3"}, kA);
  EXPECT_EQ(memory.size(), 2u);
  EXPECT_EQ(memory.Match({"1", "3"}).at(kA), 2u);
  EXPECT_EQ(memory.Match({"1", "2"}).at(kA), 1u);
}

TEST(PrefixMemory, KeepsFewGroupsPerBlock) {
  PrefixMemory memory;
  for (uint64_t epoch = 1; epoch <= 10; ++epoch) memory.Remember({"1"}, {"a", epoch});
  EXPECT_EQ(memory.Match({"1"}).size(), PrefixMemory::kMaxGroupsPerBlock);
  EXPECT_TRUE(memory.Match({"1"}).contains({"a", 10}));
}

TEST(PrefixMemory, TrustFollowsWhatWasReallyCached) {
  PrefixMemory memory;
  EXPECT_EQ(memory.TrustIn(kA), 1.0);
  for (int i = 0; i < 30; ++i) memory.Correct(kA, 4, 0);
  EXPECT_LT(memory.TrustIn(kA), 0.01);
  for (int i = 0; i < 30; ++i) memory.Correct(kA, 4, 64);
  EXPECT_GT(memory.TrustIn(kA), 0.99);
  memory.Correct(kB, 0, 0);  // nothing was expected, so nothing is learnt
  EXPECT_EQ(memory.TrustIn(kB), 1.0);
}

TEST(PrefixMemory, ForgetsAGroupWhole) {
  PrefixMemory memory;
  memory.Remember({"1", "2"}, kA);
  memory.Remember({"2"}, kB);
  memory.Correct(kA, 4, 0);
  memory.Forget(kA);
  EXPECT_EQ(memory.size(), 1u);
  EXPECT_TRUE(memory.Match({"1"}).empty());
  EXPECT_EQ(memory.TrustIn(kA), 1.0);
}

}  // namespace
}  // namespace quire::coordinator
