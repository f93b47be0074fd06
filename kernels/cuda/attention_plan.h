// Who does what in a step's attention: a pure function of the batch, on the host, once a step for all layers.
// It chooses how the work is cut for the device's size; bits don't depend on it (attention.h says why).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

// Splits stand at absolute positions: every 256 keys up to 2048, so that short contexts keep a device busy,
// then every 512. A row's result is the left fold of its splits, each summed by itself, so it does not depend
// on who computed which.
inline constexpr int kFineSplitKeys = 256, kFineSplits = 8, kSplitKeys = 512;

QUIRE_HOST_DEVICE int SplitBegin(int split) {
  return split < kFineSplits ? split * kFineSplitKeys
                             : kFineSplits * kFineSplitKeys + (split - kFineSplits) * kSplitKeys;
}
QUIRE_HOST_DEVICE int SplitOf(int key) {
  constexpr int kFineKeys = kFineSplits * kFineSplitKeys;
  return key < kFineKeys ? key / kFineSplitKeys : kFineSplits + (key - kFineKeys) / kSplitKeys;
}

inline constexpr int kPageKeys = 16;  // quire::kBlockTokens
inline constexpr int kWarpRows = 16;

// Tokens position .. position + tokens - 1 of a sequence, at rows first_token .. of q and out.
struct AttentionSequence {
  int32_t first_token, tokens, position;
  int32_t first_page;      // of its block table in `tables`; a multiple of 4
  int32_t partial_offset;  // of its partial results, in rows; -1 where a block walks all splits
};

// What one block does, for each KV head: rows from first_row on, of the sequence's tokens * group, and these
// splits.
struct AttentionItem {
  int32_t sequence, first_row, first_split, end_split;
};

// A token whose rows' splits several blocks walk.
struct alignas(16) CombineToken {
  int32_t token;        // of q and out
  int32_t partial_row;  // of its first split, first head
  int32_t split_rows;   // from one split's partial rows to the next one's
  int32_t splits;
};

struct AttentionPlan {
  std::vector<AttentionSequence> sequences;
  std::vector<int32_t> tables;              // each sequence's pages, filled up to a multiple of 4
  std::vector<AttentionItem> narrow, wide;  // for blocks of one warp, and of several; the longest first
  std::vector<CombineToken> combine;        // tokens with partial results
  int64_t partial_rows = 0;
};

struct AttentionSpan {
  int32_t first_token, tokens, position;
  std::span<const int32_t> pages;  // up to position + tokens
};

struct AttentionLimits {
  int group = 1, kv_heads = 1;  // query heads of a KV head
  int wide_rows = 64;           // of a block of several warps
  int narrow_blocks = 1320;     // of one warp: as many as keep the device busy; fewer are split further
  int wide_blocks = 132;
};

AttentionPlan PlanAttention(std::span<const AttentionSpan> spans, const AttentionLimits& limits);

}  // namespace quire::kernels::cuda
