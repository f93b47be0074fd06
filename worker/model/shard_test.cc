#include "worker/model/shard.h"

#include <gtest/gtest.h>

namespace quire::worker {
namespace {

ModelConfig Smol() {
  ModelConfig config;
  config.vocab = 49152;
  config.hidden = 576;
  config.layers = 30;
  config.ffn = 1536;
  config.query_heads = 9;
  config.kv_heads = 3;
  config.head_dim = 64;
  return config;
}

TEST(ShardTest, NineQueryAndThreeKvHeadsOnTwoRanks) {
  const auto first = MakeShard(Smol(), 0, 2), second = MakeShard(Smol(), 1, 2);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->kv_heads, (Range{0, 2}));
  EXPECT_EQ(first->query_heads, (Range{0, 6}));
  EXPECT_EQ(second->kv_heads, (Range{2, 3}));
  EXPECT_EQ(second->query_heads, (Range{6, 9}));
  EXPECT_EQ(first->ffn, (Range{0, 768}));
  EXPECT_EQ(second->ffn, (Range{768, 1536}));
  EXPECT_EQ(second->vocab, (Range{24576, 49152}));
  // 30 layers x 2 heads x 64 x (K and V) x 2 bytes x 16 tokens.
  EXPECT_EQ(KvBlockBytes(Smol(), *first), 30 * 2 * 64 * 2 * 2 * 16);
  ModelConfig odd = Smol();
  odd.head_dim = 72;  // a value's row is padded to 80
  EXPECT_EQ(KvBlockBytes(odd, *first), 30 * 2 * (72 + 80) * 2 * 16);
}

void ExpectPartition(const ModelConfig& config, int ranks, Range Shard::*part, int64_t size) {
  int64_t next = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto shard = MakeShard(config, rank, ranks);
    ASSERT_TRUE(shard.ok()) << shard.status();
    const Range range = (*shard).*part;
    EXPECT_EQ(range.begin, next);
    EXPECT_GT(range.size(), 0);
    next = range.end;
  }
  EXPECT_EQ(next, size);
}

TEST(ShardTest, EverySizeIsPartitionedWithoutEmptyParts) {
  for (const int ranks : {1, 2, 3, 5, 8}) {
    for (const int64_t ffn : {16, 34, 100, 127 * 2, 27648}) {
      ModelConfig config = Smol();
      config.kv_heads = 8;
      config.query_heads = 40;
      config.ffn = ffn;
      config.vocab = ffn + 1;
      ExpectPartition(config, ranks, &Shard::kv_heads, 8);
      ExpectPartition(config, ranks, &Shard::query_heads, 40);
      ExpectPartition(config, ranks, &Shard::ffn, ffn);
      ExpectPartition(config, ranks, &Shard::vocab, ffn + 1);
    }
  }
}

TEST(ShardTest, RanksThatDivideTheLeavesAnswerAsOne) {
  ModelConfig qwq = Smol();
  qwq.kv_heads = 8;
  qwq.query_heads = 40;
  qwq.ffn = 27648;
  EXPECT_EQ(CountLeaves(qwq), 8);
  for (const auto& [ranks, leaves, as_one] :
       {std::tuple{1, 8, true}, {2, 4, true}, {4, 2, true}, {8, 1, true}, {3, 1, false}, {5, 1, false}}) {
    for (int rank = 0; rank < ranks; ++rank) {
      const auto shard = MakeShard(qwq, rank, ranks);
      EXPECT_EQ(shard->leaves, leaves) << ranks;
      EXPECT_EQ(shard->as_one_rank, as_one) << ranks;
      if (!as_one) continue;
      EXPECT_EQ(shard->kv_heads, (Range{rank * 8 / ranks, (rank + 1) * 8 / ranks}));
      EXPECT_EQ(shard->ffn, (Range{rank * qwq.ffn / ranks, (rank + 1) * qwq.ffn / ranks}));
    }
  }
  const auto name = [&](int ranks) { return SumsName(*MakeShard(qwq, 0, ranks)); };
  for (const int ranks : {1, 2, 4, 8}) EXPECT_EQ(name(ranks), "tree8");
  EXPECT_EQ(name(3), "tp3");
  qwq.ffn = 96;  // six strips
  for (const int ranks : {1, 2}) EXPECT_EQ(name(ranks), "tp2") << "as two ranks always were";
  EXPECT_EQ(name(4), "tree4");
  EXPECT_EQ(SumsName(*MakeShard(Smol(), 0, 1)), "tp1");
  EXPECT_EQ(SumsName(*MakeShard(Smol(), 0, 2)), "tp2");
  EXPECT_EQ(CountLeaves(qwq), 2);
  EXPECT_EQ(CountLeaves(Smol()), 1) << "three KV heads";
  EXPECT_FALSE(MakeShard(Smol(), 0, 2)->as_one_rank);
}

TEST(ShardTest, RefusesMoreRanksThanKvHeads) {
  const auto shard = MakeShard(Smol(), 0, 4);
  ASSERT_FALSE(shard.ok());
  EXPECT_NE(shard.status().message().find("3 KV heads"), absl::string_view::npos);
  EXPECT_FALSE(MakeShard(Smol(), 2, 2).ok());
  EXPECT_FALSE(MakeShard(Smol(), -1, 2).ok());
  EXPECT_FALSE(MakeShard(Smol(), 0, 0).ok());
}

TEST(ShardTest, MostRanksIsTheLastNumberThatIsNotRefused) {
  ModelConfig short_of_heads = Smol(), short_of_ffn = Smol(), short_of_vocab = Smol();
  short_of_ffn.ffn = 5;
  short_of_vocab.vocab = 3;
  EXPECT_EQ(MostRanks(short_of_heads), 3);
  EXPECT_EQ(MostRanks(short_of_ffn), 2);
  EXPECT_EQ(MostRanks(short_of_vocab), 1);
  for (const ModelConfig& config : {short_of_heads, short_of_ffn, short_of_vocab}) {
    for (int ranks = 1; ranks <= 5; ++ranks) {
      EXPECT_EQ(MakeShard(config, 0, ranks).ok(), ranks <= MostRanks(config)) << ranks;
    }
  }
}

}  // namespace
}  // namespace quire::worker
