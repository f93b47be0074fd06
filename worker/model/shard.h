// Which part of the model a tensor-parallel rank holds: attention by KV-head group (each with its query
// heads), FFN columns and vocabulary rows, all in rank order, earlier ranks taking what does not divide
// evenly (9 query / 3 KV heads on 2 ranks are 6 + 3 and 2 + 1). Every part belongs to exactly one rank. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/model_config.h"

namespace quire::worker {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

struct Shard {
  int rank = 0, ranks = 1;
  Range kv_heads, query_heads;
  Range ffn;
  Range vocab;
  // Of this rank's part of the sums over heads (o) and FFN columns (down).
  int64_t leaves = 1;
  // Whether its group's tokens are those of one rank: the ranks' parts are subtrees of one tree.
  bool as_one_rank = true;
};

// Of the model's sums that ranks share, whatever their number: the most that both its KV heads and its FFN
// columns divide into.
int64_t CountLeaves(const ModelConfig& config);

// Names the order of the sums that ranks share, for numerics_id: equal names of one model are equal bits.
// "tp" stands for those that were so before there were leaves.
std::string SumsName(const Shard& shard);

// The largest number of ranks that the model can be split over; each smaller one is possible too. No rank is
// left without a KV head with its query heads.
int64_t MostRanks(const ModelConfig& config);

// InvalidArgument when there are more ranks than that.
absl::StatusOr<Shard> MakeShard(const ModelConfig& config, int rank, int ranks);

// Bytes of one KV block (16 tokens, K and V, bf16, all layers) on this rank.
int64_t KvBlockBytes(const ModelConfig& config, const Shard& shard);

}  // namespace quire::worker
