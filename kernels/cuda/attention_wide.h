// Attention for many rows (prefill, chunks): each warp has 16 rows of its own and walks all keys for them;
// the block shares K and V. The fold of earlier splits waits in shared memory. Device code; attention.h
// launches it.
#pragma once

#include "kernels/cuda/attention_block.h"

namespace quire::kernels::cuda {

template <int kHeadDim>
struct AttentionWideKernel {
  using Params = AttentionParams;
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpLanes, kMinBlocks = 2, kStages = 2;
  static constexpr int kRows = kWarps * kWarpRows;
  using Block = AttentionBlock<kHeadDim, kThreads>;
  // Stages of K and V, and the fold of earlier splits.
  static constexpr int kSharedBytes = kStages * Block::kStageBytes + kRows * kHeadDim * 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    AttentionWideKernel(p).Walk();
  }

 private:
  static constexpr int kOutTiles = kHeadDim / 8, kKeyTiles = kTileKeys / 8;

  QUIRE_DEVICE explicit AttentionWideKernel(const Params& p) : block(p, kRows, WarpIndex() * kWarpRows) {}

  QUIRE_DEVICE void Walk() {
    int key = SplitBegin(block.item.first_split);
    Word128 blocks = block.Blocks(key);
    Fetch(key, blocks);
    block.LoadQuery(query);
    QUIRE_NO_UNROLL
    for (int split = block.item.first_split; key < block.end_key; ++split) {
      StartSplit();
      const int end = block.EndOf(split);
      QUIRE_NO_UNROLL
      for (; key < end; key += kTileKeys) WalkTile(key, blocks);
      EndSplit(split);
    }
  }

  static QUIRE_DEVICE int StageOf(int key) { return key / kTileKeys % kStages; }
  QUIRE_DEVICE void Fetch(int key, const Word128& blocks) const {
    block.FetchTile(StageOf(key), 0, key, blocks);
    block.FetchTile(StageOf(key), 1, key, blocks);
    CopyAsyncCommit();
  }

  // One barrier a tile: warps drift apart, so that one's softmax goes beside another's products. The next
  // tile is under way meanwhile.
  QUIRE_DEVICE void WalkTile(int key, Word128& blocks) {
    const int next = key + kTileKeys;
    CopyAsyncWait<0>();
    if (next < block.end_key) blocks = block.Blocks(next);
    SyncBlock();  // this tile is there, and nobody needs the last one any more
    if (next < block.end_key) Fetch(next, blocks);
    float s[kKeyTiles][4];
    Scores(s, StageOf(key));
    if (next > block.nearest + 1) block.Mask(s, key);
    Softmax(s);
    AddValues(s, StageOf(key));
  }

  QUIRE_DEVICE void Scores(float (&s)[kKeyTiles][4], int stage) const {
    const int offset = Block::KeyOffset(stage);
    QUIRE_UNROLL
    for (int tile = 0; tile < kKeyTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) s[tile][i] = 0;
    }
    QUIRE_UNROLL
    for (int step = 0; step < Block::kSteps; ++step) {
      QUIRE_UNROLL
      for (int tile = 0; tile < kKeyTiles; tile += 2) {
        uint32_t k[4];
        Block::LoadKeys(k, offset, step, tile);
        MmaBf16(s[tile], query[step], {k[0], k[1]});
        MmaBf16(s[tile + 1], query[step], {k[2], k[3]});
      }
    }
  }

  // Scores become weights; what was summed before is scaled to the new highest score.
  QUIRE_DEVICE void Softmax(float (&s)[kKeyTiles][4]) {
    float rescale[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float before = highest[i];
      highest[i] = Max(before, Block::HighestOf(s, i));
      rescale[i] = block.Rescale(before, highest[i]);
      QUIRE_UNROLL
      for (int g = 0; g < kGroups; ++g) {
        sum[i][g] *= rescale[i];
        block.Weigh(s[2 * g], s[2 * g + 1], i, highest[i], sum[i][g]);
      }
    }
    if (Ballot(rescale[0] != 1 || rescale[1] != 1) == 0) return;
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] *= rescale[i / 2];
    }
  }

  QUIRE_DEVICE void AddValues(const float (&s)[kKeyTiles][4], int stage) {
    const int offset = Block::ValueOffset(stage);
    QUIRE_UNROLL
    for (int step = 0; step < kGroups; ++step) {
      const float(&left)[4] = s[2 * step];
      const float(&right)[4] = s[2 * step + 1];
      const uint32_t weights[4] = {PackBf16(left[0], left[1]), PackBf16(left[2], left[3]),
                                   PackBf16(right[0], right[1]), PackBf16(right[2], right[3])};
      QUIRE_UNROLL
      for (int tile = 0; tile < kOutTiles; tile += 2) {
        uint32_t v[4];
        Block::LoadValues(v, offset, step, tile);
        MmaBf16(out[tile], weights, {v[0], v[1]});
        MmaBf16(out[tile + 1], weights, {v[2], v[3]});
      }
    }
  }

  QUIRE_DEVICE void StartSplit() {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      highest[i] = -INFINITY;
      QUIRE_UNROLL
      for (int g = 0; g < kGroups; ++g) sum[i][g] = 0;
    }
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] = 0;
    }
  }

  QUIRE_DEVICE void EndSplit(int split) {
    SoftmaxState state[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i)
      state[i] = {highest[i], Block::SumOf(sum[i][0], sum[i][1], sum[i][2], sum[i][3])};
    if (block.KeepsPartial()) return block.StorePartial(split, out, 0, state);
    Fold(split, state);
    if (block.Last(split)) {
      const float sums[2] = {folded[0].sum, folded[1].sum};
      block.StoreOut(out, 0, sums);
    } else {
      KeepFolded();
    }
  }

  // A thread's own, as 16-byte words [tile][thread].
  static QUIRE_DEVICE float* Folded(int tile) {
    return reinterpret_cast<float*>(SharedMemory() + kStages * Block::kStageBytes) +
           (tile * kThreads + ThreadIndex()) * 4;
  }

  // out and folded become those of all splits until here.
  QUIRE_DEVICE void Fold(int split, const SoftmaxState (&state)[2]) {
    if (split == 0) {
      folded[0] = state[0];
      folded[1] = state[1];
      return;
    }
    MergeFactors factors[2];
    bool empty[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      empty[i] = state[i].sum == 0;  // all of the split is behind the row
      if (!empty[i]) factors[i] = Merge(folded[i], state[i], block.p.scale_log2);
    }
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      const Word128 earlier = Load128(Folded(tile));
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float before = BitsToFloat(earlier.word[i]);
        out[tile][i] = empty[i / 2] ? before : MergeValues(factors[i / 2], before, out[tile][i]);
      }
    }
  }
  QUIRE_DEVICE void KeepFolded() const {
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      Word128 word;
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) word.word[i] = FloatToBits(out[tile][i]);
      Store128(Folded(tile), word);
    }
  }

  Block block;
  uint32_t query[Block::kSteps][4];
  float out[kOutTiles][4], highest[2], sum[2][kGroups];  // of this split
  SoftmaxState folded[2];                                // of those before
};

}  // namespace quire::kernels::cuda
