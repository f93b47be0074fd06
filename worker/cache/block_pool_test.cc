#include "worker/cache/block_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace quire::worker {
namespace {

TEST(BlockPool, GivesEveryBlockOnceThenNone) {
  BlockPool pool(3);
  std::vector<BlockRef> held;
  for (int i = 0; i < 3; ++i) held.push_back(pool.Allocate());
  EXPECT_EQ(pool.idle(), 0);
  EXPECT_FALSE(pool.Allocate());
  held.pop_back();
  EXPECT_EQ(pool.idle(), 1);
  EXPECT_TRUE(pool.Allocate());
}

TEST(BlockPool, UselessBlocksAreReusedBeforeKeptOnes) {
  BlockPool pool(3);
  std::vector<BlockRef> held = {pool.Allocate(), pool.Allocate(), pool.Allocate()};
  const int32_t kept_first = held[0].id(), kept_second = held[1].id(), useless = held[2].id();
  pool.Keep(kept_first);
  pool.Keep(kept_second);
  for (BlockRef& ref : held) ref = BlockRef();
  std::vector<BlockRef> again = {pool.Allocate(), pool.Allocate(), pool.Allocate()};
  EXPECT_EQ(again[0].id(), useless);
  EXPECT_EQ(again[1].id(), kept_first);
  EXPECT_EQ(again[2].id(), kept_second);
}

TEST(BlockPool, KeptBlockCanBeSharedAgain) {
  BlockPool pool(2);
  BlockRef ref = pool.Allocate();
  const int32_t id = ref.id();
  pool.Keep(id);
  ref = BlockRef();
  EXPECT_EQ(pool.idle(), 2);
  BlockRef shared = pool.Share(id);
  EXPECT_EQ(pool.idle(), 1);
  BlockRef other = pool.Allocate();
  EXPECT_NE(other.id(), id);
}

TEST(BlockPool, RandomReferencesNeverLeak) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    BlockPool pool(17);
    std::vector<BlockRef> held;
    for (int step = 0; step < 2000; ++step) {
      const uint32_t what = random() % 5;
      if (what <= 1) {
        if (BlockRef ref = pool.Allocate()) held.push_back(std::move(ref));
      } else if (what == 2 && !held.empty()) {
        held.push_back(held[random() % held.size()]);
      } else if (what == 3 && !held.empty()) {
        pool.Keep(held[random() % held.size()].id());
      } else if (!held.empty()) {
        std::swap(held[random() % held.size()], held.back());
        held.pop_back();
      }
      std::map<int32_t, int> distinct;
      for (const BlockRef& ref : held) ++distinct[ref.id()];
      ASSERT_EQ(pool.idle(), 17 - static_cast<int>(distinct.size())) << "seed " << seed;
      ASSERT_TRUE(pool.CheckIntegrity().ok()) << "seed " << seed;
    }
    held.clear();
    EXPECT_EQ(pool.idle(), 17);
  }
}

}  // namespace
}  // namespace quire::worker
