// What the plan of a step's attention and its kernels agree on: where the splits of the keys stand, and the
// plan's entries as kernels read them. Plain C++, for the host and (nvcc's --expt-relaxed-constexpr) the
// device.
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

// Splits stand at absolute positions: every 256 keys up to 2048, so that short contexts keep a device busy,
// then every 512. A row's result is the left fold of its splits, each summed by itself, so it does not depend
// on who computed which.
inline constexpr int kFineSplitKeys = 256, kFineSplits = 8, kSplitKeys = 512;

constexpr int SplitBegin(int split) {
  return split < kFineSplits ? split * kFineSplitKeys
                             : kFineSplits * kFineSplitKeys + (split - kFineSplits) * kSplitKeys;
}
constexpr int SplitOf(int key) {
  constexpr int kFineKeys = kFineSplits * kFineSplitKeys;
  return key < kFineKeys ? key / kFineSplitKeys : kFineSplits + (key - kFineKeys) / kSplitKeys;
}

inline constexpr int kWarpRows = 16;

// Tokens position .. position + tokens - 1 of a sequence, at rows first_token .. of q and out.
struct AttentionSequence {
  int32_t first_token, tokens, position;
  int32_t first_page;      // of its block table in `tables`; a multiple of 4
  int32_t partial_offset;  // of its partial results, in rows; -1 where a block walks all splits
};

// What one block does, for each KV head: rows from first_row on, of the sequence's tokens * group, and these
// splits. Sequence -1: nothing.
struct AttentionItem {
  int32_t sequence, first_row, first_split, end_split;
};

// A token whose rows' splits several blocks walk. No splits: nothing.
struct alignas(16) CombineToken {
  int32_t token;        // of q and out
  int32_t partial_row;  // of its first split, first head
  int32_t split_rows;   // from one split's partial rows to the next one's
  int32_t splits;
};

}  // namespace quire::kernels::cuda
