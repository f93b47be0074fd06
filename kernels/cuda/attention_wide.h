// Attention for many rows (prefill, chunks): each warp has 16 rows of its own and walks all keys for them;
// the block shares K and V. The products of a tile's scores and of the last tile's values are under way while
// its softmax is made. The fold of earlier splits waits in shared memory. Device code; attention.h launches
// it.
#pragma once

#include "kernels/cuda/attention_block.h"

namespace quire::kernels::cuda {

template <int kHeadDim, typename Products = GroupProducts>
struct AttentionWideKernel {
  using Params = AttentionParams;
  static constexpr int kWarps = 8, kThreads = kWarps * kWarpLanes, kMinBlocks = 1, kStages = kAttentionStages;
  static constexpr int kRows = kWarps * kWarpRows;
  using Block = AttentionBlock<kHeadDim, kThreads>;
  // Stages of K and V, and the fold of earlier splits.
  static constexpr int kSharedBytes = kStages * Block::kStageBytes + kRows * kHeadDim * 4;
  static_assert(kStages >= 3, "V of one tile is needed beside K of the next, while one more is under way");

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    if (HasWork(p)) return AttentionWideKernel(p).Walk();
    WaitForPriorKernel();
  }

 private:
  static constexpr int kOutTiles = kHeadDim / 8, kKeyTiles = kTileKeys / 8;

  QUIRE_DEVICE explicit AttentionWideKernel(const Params& p) : block(p, kRows, WarpIndex() * kWarpRows) {}

  QUIRE_DEVICE void Walk() {
    const int first = SplitBegin(block.item.first_split);
    int split = block.item.first_split, end = block.EndOf(split);
    WaitForPriorKernel();
    StartFetching(first);
    block.LoadQuery(query);
    StartSplit();
    ClearOut();
    float s[kKeyTiles][4];
    Arrive<kStages - 2>();
    Scores(s, first);
    Products::template Wait<0>(s);
    Softmax(s, first);
    Pack(s);
    QUIRE_NO_UNROLL
    for (int key = first, next = first + kTileKeys; next < block.end_key; key = next, next += kTileKeys) {
      Arrive<kStages - 3>();  // tile `next` is there, and nobody needs the one before `key` any more
      Fetch(next + (kStages - 2) * kTileKeys);
      Scores(s, next);
      AddValues(key);
      const bool ends = next == end;
      SoftmaxState state[2];
      if (ends) state[0] = StateOf(0), state[1] = StateOf(1), StartSplit();
      Products::template Wait<1>(s);
      Softmax(s, next);
      if (ends) {  // each branch waits for itself, or nvcc would wait before the softmax
        Products::template Wait<0, 1>(out);
        EndSplit(split, state);
        ClearOut();
        end = block.EndOf(++split);
      } else {
        Products::template Wait<0>(out);
        RescaleOut();
      }
      Pack(s);
    }
    AddValues((block.end_key - 1) / kTileKeys * kTileKeys);
    const SoftmaxState state[2] = {StateOf(0), StateOf(1)};
    Products::template Wait<0>(out);
    EndSplit(split, state);
  }

  static QUIRE_DEVICE int StageOf(int key) {
    return static_cast<int>(static_cast<unsigned>(key) / kTileKeys % kStages);
  }

  QUIRE_DEVICE void StartFetching(int first) {
    if (first < block.end_key) blocks = block.Blocks(first);
    QUIRE_UNROLL
    for (int ahead = 0; ahead < kStages - 1; ++ahead) Fetch(first + ahead * kTileKeys);
  }
  // K and V of the tile in one group; an empty one behind the last.
  QUIRE_DEVICE void Fetch(int key) {
    if (key < block.end_key) {
      block.FetchTile(StageOf(key), key, blocks);
      if (key + kTileKeys < block.end_key) blocks = block.Blocks(key + kTileKeys);
    }
    CopyAsyncCommit();
  }
  // One barrier a tile: warps drift apart, so that one's softmax goes beside another's products.
  template <int kGroupsLeft>
  static QUIRE_DEVICE void Arrive() {
    CopyAsyncWait<kGroupsLeft>();
    Products::ShowCopies();
    SyncBlock();
  }

  QUIRE_DEVICE void Scores(float (&s)[kKeyTiles][4], int key) const {
    const int keys = Products::KeysAt(Block::KeysOf(StageOf(key)), 0);
    QUIRE_UNROLL
    for (int tile = 0; tile < kKeyTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) s[tile][i] = 0;
    }
    Products::Begin();
    QUIRE_UNROLL
    for (int step = 0; step < Block::kSteps; ++step) Products::AddScores(s, query[step], keys, step);
    Products::End();
  }

  QUIRE_DEVICE void AddValues(int key) {
    const int values = Products::ValuesAt(Block::ValuesOf(StageOf(key)), 0);
    Products::Begin();
    QUIRE_UNROLL
    for (int step = 0; step < kGroups; ++step) Products::AddValues(out, weights[step], values, step);
    Products::End();
  }

  // Scores become weights; `rescale` is what sums made before are multiplied with.
  QUIRE_DEVICE void Softmax(float (&s)[kKeyTiles][4], int key) {
    if (key + kTileKeys > block.nearest + 1) block.Mask(s, key);
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
  }
  QUIRE_DEVICE void RescaleOut() {
    if (Ballot(rescale[0] != 1 || rescale[1] != 1) == 0) return;
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] *= rescale[i / 2];
    }
  }
  QUIRE_DEVICE void Pack(const float (&s)[kKeyTiles][4]) {
    QUIRE_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float(&from)[4] = s[2 * g + i / 2];
        weights[g][i] = PackBf16(from[i % 2 * 2], from[i % 2 * 2 + 1]);
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
  }
  QUIRE_DEVICE void ClearOut() {
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] = 0;
    }
  }
  QUIRE_DEVICE SoftmaxState StateOf(int i) const {
    return {highest[i], Block::SumOf(sum[i][0], sum[i][1], sum[i][2], sum[i][3])};
  }

  QUIRE_DEVICE void EndSplit(int split, const SoftmaxState (&state)[2]) {
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
  Word128 blocks;  // pages of the tile to be fetched next
  uint32_t query[Block::kSteps][4], weights[kGroups][4];
  float out[kOutTiles][4], highest[2], sum[2][kGroups];  // of this split
  float rescale[2];
  SoftmaxState folded[2];  // of those before
};

}  // namespace quire::kernels::cuda
