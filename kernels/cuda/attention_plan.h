// Who does what in a step's attention: a pure function of the batch, on the host, once a step for all layers.
// It chooses how the work is cut for the device's size; bits don't depend on it (attention.h says why).
// Nothing of the device layer comes with this header.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/attention_rules.h"
#include "kernels/cuda/kv_pages.h"

namespace quire::kernels::cuda {

// Entries of a plan: what grids are made of.
struct AttentionCounts {
  int narrow = 0, wide = 0, combine = 0;
};

struct AttentionPlan {
  std::vector<AttentionSequence> sequences;
  std::vector<int32_t> tables;              // each sequence's pages, filled up to a multiple of 4
  std::vector<AttentionItem> narrow, wide;  // for blocks of few rows, and of many; the longest first
  std::vector<CombineToken> combine;        // tokens with partial results
  int64_t partial_rows = 0;

  AttentionCounts counts() const {
    return {static_cast<int>(narrow.size()), static_cast<int>(wide.size()), static_cast<int>(combine.size())};
  }
};

struct AttentionSpan {
  int32_t first_token, tokens, position;
  std::span<const int32_t> pages;  // at least up to position + tokens
};

struct AttentionLimits {
  int group = 1, kv_heads = 1;  // query heads of a KV head
  int wide_rows = 128;          // of a block of many rows
  int narrow_blocks = 264;      // as many as keep the device busy; fewer are split further
  int wide_blocks = 132;
  int64_t partial_rows = 1 << 18;  // that there is room for; spans beyond it aren't split: slower, same bits
};

// That keep a device of so many multiprocessors busy.
inline AttentionLimits LimitsFor(int processors, int group, int kv_heads, int64_t partial_rows) {
  constexpr int kNarrowBlocksEach = 2;  // of 16 rows: what a multiprocessor holds at once
  return {.group = group,
          .kv_heads = kv_heads,
          .narrow_blocks = processors * kNarrowBlocksEach,
          .wide_blocks = processors,
          .partial_rows = partial_rows};
}

// An error where a span has no tokens or its pages don't cover it. At most narrow_blocks / kv_heads narrow
// items beside one for each span with few rows (wide ones alike, one for each wide_rows), a combined token
// for each.
absl::StatusOr<AttentionPlan> PlanAttention(std::span<const AttentionSpan> spans,
                                            const AttentionLimits& limits);

// Fills the plan up with entries that do nothing, for the grids of a captured graph. An error where it has
// more.
absl::Status FillUp(AttentionPlan& plan, const AttentionCounts& counts);

}  // namespace quire::kernels::cuda
