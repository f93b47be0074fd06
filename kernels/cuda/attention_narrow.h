// Attention for 16 rows or fewer (decode): the block's four warps share the rows. Of each tile a warp has 16
// keys' scores, then a quarter of the dimensions; weights and highest scores pass through shared memory. The
// same sums in the same order as attention_wide.h, so the same bits. Device code; attention.h launches it.
#pragma once

#include "kernels/cuda/attention_block.h"

namespace quire::kernels::cuda {

template <int kHeadDim>
struct AttentionNarrowKernel {
  using Params = AttentionParams;
  static constexpr int kWarps = kGroups, kThreads = kWarps * kWarpLanes, kMinBlocks = 2,
                       kStages = kAttentionStages;
  using Block = AttentionBlock<kHeadDim, kThreads>;
  static constexpr int kWeightRowBytes = kTileKeys * 2;
  // K and V of each stage, weights bf16 [row][key], highest [warp][row], sums [warp][row][lane of the row].
  static constexpr int kWeights = kStages * Block::kStageBytes,
                       kHighest = kWeights + kWarpRows * kWeightRowBytes;
  static constexpr int kSums = kHighest + kWarps * kWarpRows * 4;
  static constexpr int kSharedBytes = kSums + kWarps * kWarpRows * 4 * 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    if (HasWork(p)) return AttentionNarrowKernel(p).Walk();
    WaitForPriorKernel();
  }

 private:
  static constexpr int kOutTiles = kHeadDim / 8 / kWarps;  // of this warp
  static_assert(kOutTiles % 2 == 0);

  QUIRE_DEVICE explicit AttentionNarrowKernel(const Params& p) : block(p, kWarpRows, 0) {}

  QUIRE_DEVICE void Walk() {
    const int begin = SplitBegin(block.item.first_split);
    WaitForPriorKernel();
    QUIRE_UNROLL
    for (int ahead = 0; ahead < kStages - 1; ++ahead) Fetch(begin + ahead * kTileKeys);
    block.LoadQuery(query);
    QUIRE_NO_UNROLL
    for (int split = block.item.first_split; SplitBegin(split) < block.end_key; ++split) {
      StartSplit();
      const int end = block.EndOf(split);
      QUIRE_NO_UNROLL
      for (int key = SplitBegin(split); key < end; key += kTileKeys) WalkTile(key);
      EndSplit(split);
    }
  }

  static QUIRE_DEVICE int StageOf(int key) { return key / kTileKeys % kStages; }
  // K and V of the tile in one group; an empty one behind the last.
  QUIRE_DEVICE void Fetch(int key) const {
    if (key < block.end_key) {
      block.FetchTile(StageOf(key), key, block.Blocks(key));
    }
    CopyAsyncCommit();
  }

  QUIRE_DEVICE void WalkTile(int key) {
    CopyAsyncWait<kStages - 2>();
    SyncBlock();  // this tile is there; nobody needs the last one and its weights any more
    Fetch(key + (kStages - 1) * kTileKeys);
    const int stage = StageOf(key);
    float s[2][4];
    Scores(s, stage);
    if (key + kTileKeys > block.nearest + 1) block.Mask(s, key + WarpIndex() * kGroupKeys);
    ShareHighest(s);
    SyncBlock();  // all highest scores are there
    Softmax(s);
    ShareWeights(s);
    SyncBlock();  // all weights are there
    AddValues(stage);
  }

  QUIRE_DEVICE void Scores(float (&s)[2][4], int stage) const {
    const int keys = WarpProducts::KeysAt(Block::KeysOf(stage), WarpIndex() * 2);
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) s[0][i] = s[1][i] = 0;
    QUIRE_UNROLL
    for (int step = 0; step < Block::kSteps; ++step) WarpProducts::AddScores(s, query[step], keys, step);
  }

  static QUIRE_DEVICE int RowInTile(int i) { return LaneIndex() / 4 + i * 8; }
  static QUIRE_DEVICE float* Highest(int warp, int row) {
    return reinterpret_cast<float*>(SharedMemory() + kHighest) + warp * kWarpRows + row;
  }
  static QUIRE_DEVICE float* Sum(int warp, int row, int lane) {
    return reinterpret_cast<float*>(SharedMemory() + kSums) + (warp * kWarpRows + row) * 4 + lane;
  }
  // Rows are permuted as those of K are.
  static QUIRE_DEVICE std::byte* Weights(int row, int chunk) {
    return SharedMemory() + kWeights + row * kWeightRowBytes + (chunk ^ row % 8) * 16;
  }

  static QUIRE_DEVICE void ShareHighest(const float (&s)[2][4]) {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float mine = Block::HighestOf(s, i);
      if (LaneIndex() % 4 == 0) *Highest(WarpIndex(), RowInTile(i)) = mine;
    }
  }

  QUIRE_DEVICE void Softmax(float (&s)[2][4]) {
    float rescale[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float before = highest[i];
      QUIRE_UNROLL
      for (int warp = 0; warp < kWarps; ++warp) highest[i] = Max(highest[i], *Highest(warp, RowInTile(i)));
      rescale[i] = block.Rescale(before, highest[i]);
      sum[i] *= rescale[i];
      block.Weigh(s[0], s[1], i, highest[i], sum[i]);
    }
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] *= rescale[i / 2];
    }
  }

  static QUIRE_DEVICE void ShareWeights(const float (&s)[2][4]) {
    QUIRE_UNROLL
    for (int tile = 0; tile < 2; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 2; ++i) {
        std::byte* to = Weights(RowInTile(i), WarpIndex() * 2 + tile) + LaneIndex() % 4 * 4;
        *reinterpret_cast<uint32_t*>(to) = PackBf16(s[tile][2 * i], s[tile][2 * i + 1]);
      }
    }
  }

  QUIRE_DEVICE void AddValues(int stage) {
    const int values = WarpProducts::ValuesAt(Block::ValuesOf(stage), WarpIndex() * kOutTiles);
    QUIRE_UNROLL
    for (int step = 0; step < kGroups; ++step) {
      uint32_t weights[4];
      LdMatrix4(weights, Weights(LaneIndex() % 16, step * 2 + LaneIndex() / 16));
      WarpProducts::AddValues(out, weights, values, step);
    }
  }

  QUIRE_DEVICE void StartSplit() {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      highest[i] = -INFINITY;
      sum[i] = 0;
    }
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] = 0;
    }
  }

  QUIRE_DEVICE void EndSplit(int split) {
    const int lane = LaneIndex() % 4;
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) *Sum(WarpIndex(), RowInTile(i), lane) = sum[i];
    SyncBlock();  // all sums are there
    SoftmaxState state[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int row = RowInTile(i);
      state[i] = {highest[i], Block::SumOf(*Sum(0, row, lane), *Sum(1, row, lane), *Sum(2, row, lane),
                                           *Sum(3, row, lane))};
    }
    if (block.KeepsPartial()) return block.StorePartial(split, out, WarpIndex() * kOutTiles, state);
    Fold(split, state);
    if (!block.Last(split)) return;
    const float sums[2] = {folded[0].sum, folded[1].sum};
    block.StoreOut(folded_out, WarpIndex() * kOutTiles, sums);
  }

  QUIRE_DEVICE void Fold(int split, const SoftmaxState (&state)[2]) {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const bool empty = split > 0 && state[i].sum == 0;  // all of the split is behind the row
      if (empty) continue;
      MergeFactors factors{};
      if (split == 0) {
        folded[i] = state[i];
      } else {
        factors = Merge(folded[i], state[i], block.p.scale_log2);
      }
      QUIRE_UNROLL
      for (int tile = 0; tile < kOutTiles; ++tile) {
        QUIRE_UNROLL
        for (int j = 2 * i; j < 2 * i + 2; ++j) {
          folded_out[tile][j] =
              split == 0 ? out[tile][j] : MergeValues(factors, folded_out[tile][j], out[tile][j]);
        }
      }
    }
  }

  Block block;
  uint32_t query[Block::kSteps][4];
  float out[kOutTiles][4], highest[2], sum[2];  // of this split, this warp's dimensions and keys
  float folded_out[kOutTiles][4];               // of those before
  SoftmaxState folded[2];
};

}  // namespace quire::kernels::cuda
