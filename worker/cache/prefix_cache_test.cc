#include "worker/cache/prefix_cache.h"

#include <gtest/gtest.h>

#include <random>

namespace quire::worker {
namespace {

std::vector<Digest> HashesOf(const std::vector<TokenId>& ids, const char* salt = "tenant") {
  return PrefixBlockHashes(salt, "plain", ids);
}

std::vector<TokenId> Tokens(int blocks, TokenId value) {
  return std::vector<TokenId>(static_cast<size_t>(blocks) * kBlockTokens, value);
}

// Allocates and names the blocks that are not yet known; returns references to all.
std::vector<BlockRef> Fill(PrefixCache& cache, const std::vector<Digest>& hashes) {
  std::vector<BlockRef> blocks = cache.Find(hashes);
  while (blocks.size() < hashes.size()) {
    BlockRef block = cache.Allocate();
    if (!block) break;
    cache.Insert(hashes[blocks.size()], block);
    blocks.push_back(std::move(block));
  }
  return blocks;
}

void ReleaseBackwards(std::vector<BlockRef>& blocks) {
  while (!blocks.empty()) blocks.pop_back();
}

TEST(PrefixCache, SharesTheLongestKnownPrefix) {
  PrefixCache cache(8);
  std::vector<TokenId> ids = Tokens(4, 1);
  std::vector<BlockRef> first = Fill(cache, HashesOf(ids));
  ids[40] = 2;  // in the third block
  std::vector<BlockRef> second = cache.Find(HashesOf(ids));
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].id(), first[0].id());
  EXPECT_EQ(second[1].id(), first[1].id());
  EXPECT_EQ(cache.idle(), 4);
}

TEST(PrefixCache, TenantsShareNothing) {
  PrefixCache cache(8);
  std::vector<BlockRef> first = Fill(cache, HashesOf(Tokens(2, 1)));
  EXPECT_TRUE(cache.Find(HashesOf(Tokens(2, 1), "another")).empty());
}

TEST(PrefixCache, LeastRecentlyReleasedGoesFirstAndTailsBeforeHeads) {
  PrefixCache cache(4);
  std::vector<BlockRef> a = Fill(cache, HashesOf(Tokens(2, 1)));
  std::vector<BlockRef> b = Fill(cache, HashesOf(Tokens(2, 2)));
  ReleaseBackwards(a);
  ReleaseBackwards(b);
  std::vector<BlockRef> taken = {cache.Allocate()};
  EXPECT_EQ(cache.Find(HashesOf(Tokens(2, 1))).size(), 1u);  // a lost its tail
  taken.push_back(cache.Allocate());                         // b's tail is older than a's head by now
  EXPECT_EQ(cache.Find(HashesOf(Tokens(2, 2))).size(), 1u);
  EXPECT_EQ(cache.Find(HashesOf(Tokens(2, 1))).size(), 1u);
}

TEST(PrefixCache, ReusedBlockLosesItsName) {
  PrefixCache cache(1);
  std::vector<BlockRef> a = Fill(cache, HashesOf(Tokens(1, 1)));
  a.clear();
  BlockRef reused = cache.Allocate();
  EXPECT_TRUE(cache.Find(HashesOf(Tokens(1, 1))).empty());
  EXPECT_TRUE(cache.CheckIntegrity().ok());
}

TEST(PrefixCache, SecondBlockOfOnePrefixStaysNameless) {
  PrefixCache cache(2);
  const std::vector<Digest> hashes = HashesOf(Tokens(1, 1));
  BlockRef first = cache.Allocate(), second = cache.Allocate();
  cache.Insert(hashes[0], first);
  cache.Insert(hashes[0], second);
  EXPECT_EQ(cache.Find(hashes)[0].id(), first.id());
  EXPECT_TRUE(cache.CheckIntegrity().ok());
}

TEST(PrefixCache, RandomWorkKeepsNamesAndBlocksOneToOne) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    std::mt19937 random(seed);
    PrefixCache cache(23);
    std::vector<std::vector<BlockRef>> running;
    for (int step = 0; step < 1000; ++step) {
      if (running.size() < 6 && random() % 2 == 0) {
        std::vector<TokenId> ids = Tokens(1 + static_cast<int>(random() % 6), 0);
        for (TokenId& id : ids) id = static_cast<TokenId>(random() % 50 == 0);
        running.push_back(Fill(cache, HashesOf(ids)));
      } else if (!running.empty()) {
        std::swap(running[random() % running.size()], running.back());
        ReleaseBackwards(running.back());
        running.pop_back();
      }
      ASSERT_TRUE(cache.CheckIntegrity().ok()) << "seed " << seed << " step " << step;
    }
    running.clear();
    EXPECT_EQ(cache.idle(), cache.total());
  }
}

}  // namespace
}  // namespace quire::worker
