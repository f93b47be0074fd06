#include "worker/model/shard.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "kernels/backend.h"
#include "kernels/sampling/row_scans.h"

namespace quire::worker {
namespace {

// FFN columns are dealt in strips of this many, the width of a packed panel's register.
constexpr int64_t kStripRows = 16;

// Part `rank` of `count` things dealt in whole strips; earlier ranks take what does not divide evenly.
Range Part(int64_t count, int64_t strip, int rank, int ranks) {
  const int64_t strips = (count + strip - 1) / strip;
  const auto begin_of = [&](int64_t r) {
    return std::min(count, (strips / ranks * r + std::min(strips % ranks, r)) * strip);
  };
  return {begin_of(rank), begin_of(rank + 1)};
}

Range PartInStrips(int64_t count, int rank, int ranks) {
  return Part(count, count / kStripRows >= ranks ? kStripRows : 2, rank, ranks);
}

// The vocabulary's rows in runs of the sampler, where there are enough, so that no run is of two ranks.
Range PartInRuns(int64_t count, int rank, int ranks) {
  if (count / kernels::kRunIds < ranks) return PartInStrips(count, rank, ranks);
  return Part(count, kernels::kRunIds, rank, ranks);
}

}  // namespace

int64_t CountLeaves(const ModelConfig& config) {
  int64_t leaves = kernels::kMaxLeaves;
  const auto divides = [&] {
    return config.kv_heads % leaves == 0 && config.ffn % (leaves * kStripRows) == 0;
  };
  while (leaves > 1 && !divides()) leaves /= 2;
  return leaves;
}

std::string SumsName(const Shard& shard) {
  const int64_t parts = shard.as_one_rank ? shard.leaves * shard.ranks : shard.ranks;
  return absl::StrCat(parts == 4 || parts == 8 ? "tree" : "tp", parts);
}

int64_t MostRanks(const ModelConfig& config) {
  return std::min({config.kv_heads, config.ffn / 2, config.vocab / 2});
}

absl::StatusOr<Shard> MakeShard(const ModelConfig& config, int rank, int ranks) {
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", ranks, " ranks does not exist"));
  }
  if (ranks > config.kv_heads) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the model has ", config.kv_heads, " KV heads, so it can be split over at most that many ranks; ",
        ranks, " were asked for (--tensor-parallel)"));
  }
  if (ranks > MostRanks(config)) {
    return absl::InvalidArgumentError(absl::StrCat("the model is too small for ", ranks, " ranks"));
  }
  const int64_t leaves = CountLeaves(config);
  Shard shard;
  shard.rank = rank;
  shard.ranks = ranks;
  shard.kv_heads = Part(config.kv_heads, 1, rank, ranks);
  const int64_t group = config.query_heads / config.kv_heads;
  shard.query_heads = {shard.kv_heads.begin * group, shard.kv_heads.end * group};
  shard.ffn = PartInStrips(config.ffn, rank, ranks);
  shard.vocab = PartInRuns(config.vocab, rank, ranks);
  shard.as_one_rank = leaves % ranks == 0;
  shard.leaves = shard.as_one_rank ? leaves / ranks : 1;
  return shard;
}

int64_t KvBlockBytes(const ModelConfig& config, const Shard& shard) {
  // The CPU backend pads a value's row to whole vectors (kernels/cpu/kv_cache.cc).
  constexpr int64_t kBytesPerElement = 2, kLanes = 16;
  const int64_t padded = (config.head_dim + kLanes - 1) / kLanes * kLanes;
  return config.layers * shard.kv_heads.size() * (config.head_dim + padded) * kBytesPerElement * kBlockTokens;
}

}  // namespace quire::worker
