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

TEST(PrefixCache, AForgottenBlockIsFoundByNobody) {
  PrefixCache cache(3);
  const std::vector<Digest> hashes = HashesOf(Tokens(1, 1));
  BlockRef bad = cache.Allocate();
  cache.Forget(hashes[0]);  // nobody has it so far
  cache.Insert(hashes[0], bad);
  cache.Forget(hashes[0]);
  EXPECT_TRUE(cache.Find(hashes).empty());
  EXPECT_TRUE(cache.CheckIntegrity().ok());
  BlockRef good = cache.Allocate();
  cache.Insert(hashes[0], good);
  EXPECT_EQ(cache.Find(hashes)[0].id(), good.id());
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

TEST(PrefixCache, AnAuditIsBoundedAndComesRoundToEveryBlock) {
  for (const int32_t total : {1, 99, 100, 101, 1000}) {
    PrefixCache cache(total);
    for (int round = 0; round < 3; ++round) {
      int32_t looked_at = 0;
      while (looked_at < total) {
        const auto some = cache.AuditSome(100);
        ASSERT_TRUE(some.ok()) << some.status();
        ASSERT_LE(*some, 100);
        ASSERT_GT(*some, 0);
        looked_at += *some;
      }
      EXPECT_EQ(looked_at, total);  // each round ends with the last block
    }
  }
}

TEST(PrefixCache, AnAuditFindsABlockThatWasReleasedTwice) {
  PrefixCache cache(1000);
  std::vector<BlockRef> others;
  for (int i = 0; i < 500; ++i) others.push_back(cache.Allocate());
  union Storage {  // its member ends when it is told to, and here twice
    Storage() {}
    ~Storage() {}
    BlockRef ref;
  } storage;
  new (&storage.ref) BlockRef(cache.Allocate());
  storage.ref.~BlockRef();
  EXPECT_TRUE(cache.AuditSome(1000).ok());
  storage.ref.~BlockRef();
  absl::Status found;
  for (int i = 0; i < 10 && found.ok(); ++i) found = cache.AuditSome(100).status();
  EXPECT_EQ(found.message(), "block 500 was released twice");
}

}  // namespace
}  // namespace quire::worker
