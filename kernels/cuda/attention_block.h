// What a block of attention has in common, whatever its height: its item and rows, K and V on their way into
// shared memory, and the softmax of one lane's part of a row. The order of every sum is
// fixed here: see attention.h. Device code.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_products.h"
#include "kernels/cuda/attention_rules.h"
#include "kernels/cuda/attention_state.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/kv_pages.h"

namespace quire::kernels::cuda {

inline constexpr int kGroupKeys = 16,
                     kGroups = kTileKeys / kGroupKeys;  // of a tile, whose weights are summed apart
static_assert(kFineSplitKeys % kTileKeys == 0 && kSplitKeys % kTileKeys == 0);
// Tiles of K and V in shared memory or on their way. A fourth was worth 1 to 2 % of prefill on an H100, a
// fifth less than nothing; three fit sm_80, too.
inline constexpr int kAttentionStages = 3;

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

// A block whose item fills a captured grid up has nothing to do but to wait for the kernel before: whoever
// waits for this one waits for that, too.
QUIRE_DEVICE bool HasWork(const AttentionParams& p) {
  return p.items[BlockIndex().x / p.kv_heads].sequence >= 0;
}

template <int kHeadDim, int kThreads>
class AttentionBlock {
 public:
  static constexpr int kRowBytes = kHeadDim * 2, kTileBytes = kTileKeys * kRowBytes;
  static constexpr int kStageBytes = 2 * kTileBytes;  // K, then V
  static constexpr int kSteps = kHeadDim / 16;        // of a product over dimensions

  // Rows [item.first_row, + block_rows); this lane's are warp_row + lane / 4 and eight further on.
  QUIRE_DEVICE AttentionBlock(const AttentionParams& params, int block_rows, int warp_row)
      : p(params),
        item(params.items[BlockIndex().x / params.kv_heads]),
        sequence(params.sequences[item.sequence]) {
    head = BlockIndex().x % p.kv_heads;
    group = p.query_heads / p.kv_heads;
    const int rows = sequence.tokens * group;
    const int last_row = (item.first_row + block_rows < rows ? item.first_row + block_rows : rows) - 1;
    last_position = sequence.position + last_row / group;
    end_key = last_position + 1 < SplitBegin(item.end_split) ? last_position + 1 : SplitBegin(item.end_split);
    const int first = item.first_row + warp_row;
    nearest = first < last_row ? sequence.position + first / group : last_position;
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      row[i] = first + LaneIndex() / 4 + i * 8;
      // Rows that are not there see the keys of the last that is, so that no mask is needed for their sake.
      position[i] = row[i] <= last_row ? sequence.position + row[i] / group : last_position;
      if (row[i] > last_row) row[i] = -1;
    }
    page_bytes = static_cast<int>(PageOffset(1, p.kv_heads, 0, kHeadDim)) * 2;
    pages = reinterpret_cast<const std::byte*>(p.pages + PageOffset(0, p.kv_heads, head, kHeadDim)) +
            ThreadIndex() / kChunks % kPageKeys * kRowBytes + ThreadIndex() % kChunks * 16;
  }

  QUIRE_DEVICE Word128 Blocks(int first_key) const {
    return Load128(p.tables + sequence.first_page + first_key / kPageKeys);
  }

  // Offsets in shared memory.
  static QUIRE_DEVICE int KeysOf(int stage) { return stage * kStageBytes; }
  static QUIRE_DEVICE int ValuesOf(int stage) { return stage * kStageBytes + kTileBytes; }

  // K and V of keys [first_key, first_key + 64), zeros from end_key on, to where tiles of this stage stand.
  QUIRE_DEVICE void FetchTile(int stage, int first_key, const Word128& blocks) const {
    if (first_key + kTileKeys <= end_key) {
      FetchRounds<true>(stage, first_key, blocks);
    } else {
      FetchRounds<false>(stage, first_key, blocks);
    }
  }

  QUIRE_DEVICE void LoadQuery(uint32_t (&query)[kSteps][4]) const {
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

  // Scores of keys from `first_key` on, in fragments of kTiles times eight keys.
  template <int kTiles>
  QUIRE_DEVICE void Mask(float (&s)[kTiles][4], int first_key) const {
    QUIRE_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (first_key + tile * 8 + LaneIndex() % 4 * 2 + i % 2 > position[i / 2]) s[tile][i] = -INFINITY;
      }
    }
  }

  // The highest of a row's keys in s, for its four lanes.
  template <int kTiles>
  static QUIRE_DEVICE float HighestOf(const float (&s)[kTiles][4], int i) {
    float highest = Max(s[0][2 * i], s[0][2 * i + 1]);
    QUIRE_UNROLL
    for (int tile = 1; tile < kTiles; ++tile) highest = Max(highest, Max(s[tile][2 * i], s[tile][2 * i + 1]));
    highest = Max(highest, ShuffleXor(highest, 1));
    return Max(highest, ShuffleXor(highest, 2));
  }

  // What sums made under `before` are multiplied with.
  QUIRE_DEVICE float Rescale(float before, float highest) const {
    return before == highest ? 1 : Exp2((before - highest) * p.scale_log2);
  }

  // Turns the scores of 16 keys of row i into weights, adds this lane's to `sum`.
  QUIRE_DEVICE void Weigh(float (&left)[4], float (&right)[4], int i, float highest, float& sum) const {
    const float origin = highest == -INFINITY ? 0 : highest * p.scale_log2;  // no key yet: all weights are 0
    QUIRE_UNROLL
    for (int j = 2 * i; j < 2 * i + 2; ++j) left[j] = Exp2(Fma(left[j], p.scale_log2, -origin));
    QUIRE_UNROLL
    for (int j = 2 * i; j < 2 * i + 2; ++j) right[j] = Exp2(Fma(right[j], p.scale_log2, -origin));
    sum += left[2 * i] + left[2 * i + 1] + (right[2 * i] + right[2 * i + 1]);
  }

  // A row's sum of weights, from those of its lanes and key groups.
  static QUIRE_DEVICE float SumOf(float group0, float group1, float group2, float group3) {
    float sum = group0 + group1 + (group2 + group3);
    sum += ShuffleXor(sum, 1);
    return sum + ShuffleXor(sum, 2);
  }

  // Where the keys end that this block walks in a split.
  QUIRE_DEVICE int EndOf(int split) const {
    return SplitBegin(split + 1) < end_key ? SplitBegin(split + 1) : end_key;
  }
  QUIRE_DEVICE bool Last(int split) const { return SplitBegin(split + 1) > last_position; }
  QUIRE_DEVICE bool KeepsPartial() const { return sequence.partial_offset >= 0; }

  // kTiles times eight dimensions of both rows, from first_tile on.
  template <int kTiles>
  QUIRE_DEVICE void StoreOut(const float (&out)[kTiles][4], int first_tile, const float (&sum)[2]) const {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] < 0) continue;
      const float inverse = Divide(1, sum[i]);
      uint16_t* to = p.out + RowOffset(row[i]) + first_tile * 8 + LaneIndex() % 4 * 2;
      QUIRE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        *reinterpret_cast<uint32_t*>(to + tile * 8) =
            PackBf16(Normalized(out[tile][2 * i], inverse), Normalized(out[tile][2 * i + 1], inverse));
      }
    }
  }

  template <int kTiles>
  QUIRE_DEVICE void StorePartial(int split, const float (&out)[kTiles][4], int first_tile,
                                 const SoftmaxState (&state)[2]) const {
    QUIRE_UNROLL
    for (int i = 0; i < 2; ++i) {
      if (row[i] < 0 || position[i] < SplitBegin(split)) continue;  // the combining kernel won't ask
      const int64_t at = PartialRow(p, sequence, split, row[i], head);
      float* to = p.partial_out + at * kHeadDim + first_tile * 8 + LaneIndex() % 4 * 2;
      QUIRE_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        to[tile * 8] = out[tile][2 * i];
        to[tile * 8 + 1] = out[tile][2 * i + 1];
      }
      if (LaneIndex() % 4 != 0 || first_tile != 0) continue;
      p.partial_state[at * 2] = state[i].highest;
      p.partial_state[at * 2 + 1] = state[i].sum;
    }
  }

  const AttentionParams& p;
  const AttentionItem item;
  const AttentionSequence sequence;
  int head, group, last_position, end_key;
  int nearest;              // the lowest position of the warp's rows: keys up to it need no mask
  int row[2], position[2];  // of this lane's two rows; row -1: not there

 private:
  static constexpr int kChunks = kHeadDim / 8;           // 16 bytes each, of a row of K or V
  static constexpr int kRoundKeys = kThreads / kChunks;  // that all threads copy at once
  static constexpr int kRounds = kTileKeys / kRoundKeys;
  static_assert(kRoundKeys % 8 == 0, "a thread's chunk is permuted alike in each round");

  // As attention_products.h says.
  template <bool kWhole>
  QUIRE_DEVICE void FetchRounds(int stage, int first_key, const Word128& blocks) const {
    const int first = ThreadIndex() / kChunks, chunk = ThreadIndex() % kChunks;
    std::byte* to = SharedMemory() + KeysOf(stage) + chunk / 8 * kPanelBytes + first * kPanelRowBytes +
                    ((chunk % 8) ^ first % 8) * 16;
    QUIRE_UNROLL
    for (int round = 0; round < kRounds; ++round) {
      // In a round of more than a page, `first` says which page this thread has.
      const int page = round * kRoundKeys / kPageKeys + (kRoundKeys > kPageKeys ? first / kPageKeys : 0);
      const int skipped = kRoundKeys > kPageKeys ? 0 : round * kRoundKeys % kPageKeys * kRowBytes;
      const bool there = kWhole || first_key + round * kRoundKeys + first < end_key;
      const int block = there ? static_cast<int>(Select(blocks, page)) : 0;
      const std::byte* from = pages + static_cast<int64_t>(block) * page_bytes + skipped;
      std::byte* key = to + round * kRoundKeys * kPanelRowBytes;
      CopyAsync16(key, from, there);
      CopyAsync16(key + kTileBytes, from + kPageKeys * kRowBytes, there);
    }
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

  const std::byte* pages;  // where this thread's first chunk of K stands in block 0
  int page_bytes;
};

}  // namespace quire::kernels::cuda
