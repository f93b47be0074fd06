// Paged attention, one path for decode, prefill and all between. A row is (token, query head); the rows of
// one KV head stand together (row = token * group + head in group), 16 to a warp, so that a decode step's few
// rows share a tensor core tile. A warp computes its 16 rows alone and always in the same order: tiles of 64
// keys from each split's start, splits (attention_plan.h) folded from the first on. So a row's bits depend on
// its q and on the K and V at its positions, and not on the batch, on chunks, on how many warps a block has,
// or on which block took which split. AttentionKernel writes rows whose splits it all walks, and leaves
// partial results of others for CombineKernel. attention_plan.h decides who does what.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/attention_state.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/kv_pages.h"

namespace quire::kernels::cuda {

inline constexpr int kTileKeys = 64, kTilePages = kTileKeys / kPageKeys;
static_assert(kSplitKeys % kTileKeys == 0);

struct AttentionParams {
  const uint16_t* q;      // [tokens, query_heads * head_dim]
  const uint16_t* pages;  // of this layer
  const int32_t* tables;
  const AttentionSequence* sequences;
  const AttentionItem* items;
  uint16_t* out;         // as q
  float* partial_out;    // [partial row][head_dim], not yet normalized
  float* partial_state;  // [partial row][highest, sum]
  int query_heads, kv_heads;
  float scale_log2;  // log2(e) / sqrt(head_dim)
};

// Partial row of (split, row, KV head).
QUIRE_DEVICE int64_t PartialRow(const AttentionParams& p, const AttentionSequence& sequence, int split,
                                int row, int head) {
  const int rows = sequence.tokens * (p.query_heads / p.kv_heads);
  return sequence.partial_offset + (static_cast<int64_t>(split) * rows + row) * p.kv_heads + head;
}

template <int kHeadDim, int kWarps>
struct AttentionKernel {
  using Params = AttentionParams;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kMinBlocks = kWarps == 1 ? 1 : 8 / kWarps;
  static constexpr int kRows = kWarps * kWarpRows;
  static constexpr int kRowBytes = kHeadDim * 2, kTileBytes = kTileKeys * kRowBytes;
  // K, V, and the fold of earlier splits.
  static constexpr int kSharedBytes = 2 * kTileBytes + kRows * kHeadDim * 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    AttentionKernel kernel(p, p.items[BlockIndex().x / p.kv_heads], BlockIndex().x % p.kv_heads);
    kernel.Walk();
  }

 private:
  static constexpr int kChunks = kHeadDim / 8;     // 16 bytes each, of a row of K or V
  static constexpr int kSteps = kHeadDim / 16;     // of a product over dimensions
  static constexpr int kOutTiles = kHeadDim / 8;   // of 8 dimensions
  static constexpr int kKeyTiles = kTileKeys / 8;  // of 8 keys

  QUIRE_DEVICE AttentionKernel(const Params& params, const AttentionItem& item_, int head_)
      : p(params), item(item_), sequence(params.sequences[item_.sequence]), head(head_) {
    group = p.query_heads / p.kv_heads;
    const int rows = sequence.tokens * group;
    const int last_row = (item.first_row + kRows < rows ? item.first_row + kRows : rows) - 1;
    last_position = sequence.position + last_row / group;
    end_key =
        last_position + 1 < item.end_split * kSplitKeys ? last_position + 1 : item.end_split * kSplitKeys;
    const int first = item.first_row + WarpIndex() * kWarpRows + LaneIndex() / 4;
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      row[i] = first + i * 8;
      // Rows that are not there see the keys of the last that is, so that no mask is needed for their sake.
      position[i] = row[i] <= last_row ? sequence.position + row[i] / group : last_position;
      if (row[i] > last_row) row[i] = -1;
    }
  }

  // ---- memory ----

  // K at 0, V at 1; a row's chunks are permuted (xor with the row), so that no two of a matrix's eight share
  // banks.
  static QUIRE_DEVICE std::byte* TileChunk(int which, int key, int chunk) {
    return SharedMemory() + which * kTileBytes + key * kRowBytes + (chunk ^ (key % 8)) * 16;
  }
  // The earlier splits' sums: a thread's own, as 16-byte words [tile][thread].
  static QUIRE_DEVICE float* Folded(int tile) {
    return reinterpret_cast<float*>(SharedMemory() + 2 * kTileBytes) + (tile * kThreads + ThreadIndex()) * 4;
  }

  QUIRE_DEVICE Word128 Pages(int first_key) const {
    return Load128(p.tables + sequence.first_page + first_key / kPageKeys);
  }

  // K or V of keys [first_key, first_key + 64), zeros from end_key on.
  QUIRE_DEVICE void FetchTile(int which, int first_key, const Word128& blocks) const {
    constexpr int kRounds = kTileKeys * kChunks / kThreads, kUnrolled = kRounds < 8 ? kRounds : 8;
    const int64_t stride = PageOffset(1, p.kv_heads, 0, kHeadDim);
    const uint16_t* base = p.pages + PageOffset(0, p.kv_heads, head, kHeadDim) + which * kPageKeys * kHeadDim;
    QUIRE_NO_UNROLL
    for (int first = 0; first < kRounds; first += kUnrolled) {
      QUIRE_UNROLL
      for (int round = 0; round < kUnrolled; ++round) {
        const int at = (first + round) * kThreads + ThreadIndex();
        const int key = at / kChunks, chunk = at % kChunks;
        const uint32_t block = Select(blocks, at / kChunks / kPageKeys);
        const bool there = first_key + key < end_key;
        const uint16_t* from = base + (there ? static_cast<int64_t>(block) * stride : 0);
        CopyAsync16(TileChunk(which, key, chunk), from + key % kPageKeys * kHeadDim + chunk * 8, there);
      }
    }
    CopyAsyncCommit();
  }
  static QUIRE_DEVICE uint32_t Select(const Word128& blocks, int page) {
    const uint32_t low = page % 2 == 0 ? blocks.word[0] : blocks.word[1];
    const uint32_t high = page % 2 == 0 ? blocks.word[2] : blocks.word[3];
    return page < 2 ? low : high;
  }

  QUIRE_DEVICE int64_t RowOffset(int at) const {
    const int token = sequence.first_token + at / group;
    return (static_cast<int64_t>(token) * p.query_heads + head * group + at % group) * kHeadDim;
  }

  QUIRE_DEVICE void LoadQuery() {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint16_t* from = p.q + (row[i] < 0 ? 0 : RowOffset(row[i])) + LaneIndex() % 4 * 2;
      QUIRE_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        QUIRE_UNROLL
        for (int half = 0; half < 2; ++half) {
          const auto* pair = reinterpret_cast<const uint32_t*>(from + step * 16 + half * 8);
          query[step][half * 2 + i] = row[i] < 0 ? 0 : *pair;
        }
      }
    }
  }

  // ---- a tile ----

  QUIRE_DEVICE void Scores(float (&s)[kKeyTiles][4]) const {
    // Matrices: dimensions 0-7 and 8-15 of keys 0-7, then of keys 8-15.
    const int matrix = LaneIndex() / 8, in_matrix = LaneIndex() % 8;
    const int lane_offset = Opaque((matrix / 2 * 8 + in_matrix) * kRowBytes + (matrix % 2 ^ in_matrix) * 16);
    QUIRE_UNROLL
    for (int tile = 0; tile < kKeyTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) s[tile][i] = 0;
    }
    QUIRE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      QUIRE_UNROLL
      for (int tile = 0; tile < kKeyTiles; tile += 2) {
        uint32_t k[4];
        LdMatrix4(k, SharedMemory() + (lane_offset ^ step * 32) + tile * 8 * kRowBytes);
        MmaBf16(s[tile], query[step], {k[0], k[1]});
        MmaBf16(s[tile + 1], query[step], {k[2], k[3]});
      }
    }
  }

  QUIRE_DEVICE void Mask(float (&s)[kKeyTiles][4], int first_key) const {
    QUIRE_UNROLL
    for (int tile = 0; tile < kKeyTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int key = first_key + tile * 8 + LaneIndex() % 4 * 2 + i % 2;
        if (key > position[i / 2]) s[tile][i] = -INFINITY;
      }
    }
  }

  // Scores become weights; what was summed before is scaled to the new highest score.
  QUIRE_DEVICE void Softmax(float (&s)[kKeyTiles][4]) {
    float rescale[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      float highest = state[i].highest;
      QUIRE_UNROLL
      for (int tile = 0; tile < kKeyTiles; ++tile)
        highest = Max(highest, Max(s[tile][2 * i], s[tile][2 * i + 1]));
      highest = Max(highest, ShuffleXor(highest, 1));
      highest = Max(highest, ShuffleXor(highest, 2));
      const float origin =
          highest == -INFINITY ? 0 : highest * p.scale_log2;  // no key yet: all weights are 0
      rescale[i] = state[i].highest == highest ? 1 : Exp2((state[i].highest - highest) * p.scale_log2);
      state[i].highest = highest;
      float sum = state[i].sum * rescale[i];
      QUIRE_UNROLL
      for (int tile = 0; tile < kKeyTiles; ++tile) {
        QUIRE_UNROLL
        for (int j = 2 * i; j < 2 * i + 2; ++j) {
          s[tile][j] = Exp2(Fma(s[tile][j], p.scale_log2, -origin));
          sum += s[tile][j];
        }
      }
      state[i].sum = sum;
    }
    if (Ballot(rescale[0] != 1 || rescale[1] != 1) == 0) return;
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] *= rescale[i / 2];
    }
  }

  QUIRE_DEVICE void AddValues(const float (&s)[kKeyTiles][4]) {
    // Matrices: keys 0-7 and 8-15 of dimensions 0-7, then of dimensions 8-15.
    const int matrix = LaneIndex() / 8, in_matrix = LaneIndex() % 8;
    const int lane_offset =
        Opaque(kTileBytes + (matrix % 2 * 8 + in_matrix) * kRowBytes + (matrix / 2 ^ in_matrix) * 16);
    QUIRE_UNROLL
    for (int step = 0; step < kTileKeys / 16; ++step) {
      const float(&left)[4] = s[2 * step];
      const float(&right)[4] = s[2 * step + 1];
      const uint32_t weights[4] = {PackBf16(left[0], left[1]), PackBf16(left[2], left[3]),
                                   PackBf16(right[0], right[1]), PackBf16(right[2], right[3])};
      QUIRE_UNROLL
      for (int tile = 0; tile < kOutTiles; tile += 2) {
        uint32_t v[4];
        LdMatrix4Trans(v, SharedMemory() + (lane_offset ^ tile * 16) + step * 16 * kRowBytes);
        MmaBf16(out[tile], weights, {v[0], v[1]});
        MmaBf16(out[tile + 1], weights, {v[2], v[3]});
      }
    }
  }

  // ---- a split ----

  QUIRE_DEVICE void StartSplit() {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) state[i] = {-INFINITY, 0};
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) out[tile][i] = 0;
    }
  }

  // A lane summed the weights of its own keys: the row's four lanes together have all.
  QUIRE_DEVICE void EndSplit(int split) {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      state[i].sum += ShuffleXor(state[i].sum, 1);
      state[i].sum += ShuffleXor(state[i].sum, 2);
    }
    if (sequence.partial_offset >= 0) {
      StorePartial(split);
      return;
    }
    const bool last = (split + 1) * kSplitKeys > last_position;
    if (split > 0) Fold();
    if (last) {
      StoreOut();
    } else {
      KeepFolded(split);
    }
  }

  // out and state become those of all splits until here.
  QUIRE_DEVICE void Fold() {
    MergeFactors factors[2];
    bool empty[2];
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      empty[i] = state[i].sum == 0;  // all of the split is behind the row
      if (!empty[i]) factors[i] = Merge(folded[i], state[i], p.scale_log2);
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
  QUIRE_DEVICE void KeepFolded(int split) {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (split == 0) folded[i] = state[i];
    }
    QUIRE_UNROLL
    for (int tile = 0; tile < kOutTiles; ++tile) {
      Word128 word;
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) word.word[i] = FloatToBits(out[tile][i]);
      Store128(Folded(tile), word);
    }
  }

  QUIRE_DEVICE void StoreOut() {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] < 0) continue;
      const float inverse = Divide(1, last_position < kSplitKeys ? state[i].sum : folded[i].sum);
      uint16_t* to = p.out + RowOffset(row[i]) + LaneIndex() % 4 * 2;
      QUIRE_UNROLL
      for (int tile = 0; tile < kOutTiles; ++tile) {
        *reinterpret_cast<uint32_t*>(to + tile * 8) =
            PackBf16(Normalized(out[tile][2 * i], inverse), Normalized(out[tile][2 * i + 1], inverse));
      }
    }
  }

  QUIRE_DEVICE void StorePartial(int split) {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] < 0 || position[i] < split * kSplitKeys) continue;  // the combining kernel won't ask
      const int64_t at = PartialRow(p, sequence, split, row[i], head);
      float* to = p.partial_out + at * kHeadDim + LaneIndex() % 4 * 2;
      QUIRE_UNROLL
      for (int tile = 0; tile < kOutTiles; ++tile) {
        to[tile * 8] = out[tile][2 * i];
        to[tile * 8 + 1] = out[tile][2 * i + 1];
      }
      if (LaneIndex() % 4 != 0) continue;
      p.partial_state[at * 2] = state[i].highest;
      p.partial_state[at * 2 + 1] = state[i].sum;
    }
  }

  // ---- all ----

  // K of the next tile is under way during softmax and the product with V, V during the product with K.
  QUIRE_DEVICE void Walk() {
    int key = item.first_split * kSplitKeys;
    Word128 blocks = Pages(key);
    FetchTile(0, key, blocks);
    LoadQuery();
    const int nearest = WarpNearest();
    for (; key < end_key; key += kTileKeys) {
      if (key % kSplitKeys == 0) StartSplit();
      CopyAsyncWait<0>();
      SyncBlock();  // K is there, and nobody needs the last V any more
      FetchTile(1, key, blocks);
      const int next = key + kTileKeys;
      if (next < end_key) blocks = Pages(next);
      float s[kKeyTiles][4];
      Scores(s);
      SyncBlock();  // nobody needs K any more
      if (next < end_key)
        FetchTile(0, next, blocks);
      else
        CopyAsyncCommit();
      if (next > nearest + 1) Mask(s, key);
      Softmax(s);
      CopyAsyncWait<1>();
      SyncBlock();  // V is there
      AddValues(s);
      if (next % kSplitKeys == 0 || next >= end_key) EndSplit(key / kSplitKeys);
    }
  }
  // The lowest position of this lane's rows' warp: keys up to it need no mask.
  QUIRE_DEVICE int WarpNearest() const {
    const int first = item.first_row + WarpIndex() * kWarpRows;
    const int at = sequence.position + first / group;
    return at < last_position ? at : last_position;
  }

  const Params& p;
  const AttentionItem item;
  const AttentionSequence sequence;
  const int head;
  int group, last_position, end_key;
  int row[2], position[2];  // of this lane's two rows; row -1: not there
  uint32_t query[kSteps][4];
  float out[kOutTiles][4];           // of this split
  SoftmaxState state[2], folded[2];  // of this split, and of those before
};

// Rows whose splits several blocks walked: a warp folds those of one (token, query head).
template <int kHeadDim>
struct CombineKernel {
  struct Params {
    AttentionParams attention;
    const CombineToken* tokens;
    int count;
  };
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpLanes, kMinBlocks = 1;
  static constexpr int kOfLane = kHeadDim / kWarpLanes;
  static constexpr int kAhead = 4;

  static QUIRE_DEVICE void Run(const Params& params) {
    const AttentionParams& p = params.attention;
    const int at = BlockIndex().x * kWarps + WarpIndex();
    if (at >= params.count * p.query_heads) return;
    const CombineToken token = params.tokens[at / p.query_heads];
    const AttentionSequence sequence = p.sequences[token.sequence];
    const int query_head = at % p.query_heads, group = p.query_heads / p.kv_heads;
    const int row = token.token * group + query_head % group;
    const int splits = (sequence.position + token.token) / kSplitKeys + 1;
    SoftmaxState state;
    float out[kOfLane];
    for (int first = 0; first < splits; first += kAhead) {
      SoftmaxState later[kAhead];
      float values[kAhead][kOfLane];
      QUIRE_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (first + i < splits) {
          Load(p, PartialRow(p, sequence, first + i, row, query_head / group), later[i], values[i]);
        }
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (first + i < splits) Fold(first + i, p.scale_log2, later[i], values[i], state, out);
      }
    }
    const float inverse = Divide(1, state.sum);
    uint16_t* to =
        p.out +
        (static_cast<int64_t>(sequence.first_token + token.token) * p.query_heads + query_head) * kHeadDim +
        LaneIndex() * kOfLane;
    QUIRE_UNROLL
    for (int i = 0; i < kOfLane; i += 2) {
      *reinterpret_cast<uint32_t*>(to + i) =
          PackBf16(Normalized(out[i], inverse), Normalized(out[i + 1], inverse));
    }
  }

 private:
  static QUIRE_DEVICE void Load(const AttentionParams& p, int64_t at, SoftmaxState& state,
                                float (&out)[kOfLane]) {
    state = {p.partial_state[at * 2], p.partial_state[at * 2 + 1]};
    const float* from = p.partial_out + at * kHeadDim + LaneIndex() * kOfLane;
    QUIRE_UNROLL
    for (int i = 0; i < kOfLane; ++i) out[i] = from[i];
  }
  static QUIRE_DEVICE void Fold(int split, float scale_log2, const SoftmaxState& later,
                                const float (&values)[kOfLane], SoftmaxState& state, float (&out)[kOfLane]) {
    MergeFactors factors{};
    if (split > 0) {
      factors = Merge(state, later, scale_log2);
    } else {
      state = later;
    }
    QUIRE_UNROLL
    for (int i = 0; i < kOfLane; ++i)
      out[i] = split > 0 ? MergeValues(factors, out[i], values[i]) : values[i];
  }
};

// A plan's arrays in device memory.
struct AttentionWork {
  const AttentionItem *narrow, *wide;
  int narrow_count, wide_count;
  const CombineToken* combine;
  int combine_count;
};

template <int kHeadDim, int kWideWarps>
void Attention(Stream& stream, AttentionParams params, const AttentionWork& work) {
  using Narrow = AttentionKernel<kHeadDim, 1>;
  using Wide = AttentionKernel<kHeadDim, kWideWarps>;
  if (work.wide_count > 0) {
    params.items = work.wide;
    Launch<Wide>(stream, {.x = work.wide_count * params.kv_heads}, Wide::kSharedBytes, params);
  }
  if (work.narrow_count > 0) {
    params.items = work.narrow;
    Launch<Narrow>(stream, {.x = work.narrow_count * params.kv_heads}, Narrow::kSharedBytes, params);
  }
  if (work.combine_count > 0) {
    using Combine = CombineKernel<kHeadDim>;
    const int warps = work.combine_count * params.query_heads;
    Launch<Combine>(stream, {.x = (warps + Combine::kWarps - 1) / Combine::kWarps}, 0,
                    {params, work.combine, work.combine_count});
  }
}

}  // namespace quire::kernels::cuda
