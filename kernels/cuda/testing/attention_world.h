// Sequences with random q, K and V in shuffled pages, run through the attention kernels in any batch, and an
// fp64 reference for single rows. What attention's check and bench share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/testing/data.h"

namespace quire::kernels::cuda {

inline constexpr int kQwqHeads = 40, kQwqKvHeads = 8, kQwqDim = 128;  // QwQ-32B's

// A plan in device memory, ready to run.
struct PlannedAttention {
  PlannedAttention(Stream& stream, const AttentionPlan& plan, int head_dim)
      : sequences(stream, BehindOne(plan.sequences)),
        tables(stream, plan.tables),
        narrow(stream, plan.narrow),
        wide(stream, plan.wide),
        combine(stream, plan.combine),
        partial_out(stream, plan.partial_rows * head_dim),
        partial_state(stream, plan.partial_rows * 2) {}

  AttentionParams Params(const uint16_t* q, const uint16_t* pages, uint16_t* out, int query_heads,
                         int kv_heads, int head_dim) const {
    return {.q = q,
            .pages = pages,
            .tables = tables.data(),
            .sequences = sequences.data() + 1,
            .items = nullptr,
            .out = out,
            .partial_out = partial_out.data(),
            .partial_state = partial_state.data(),
            .query_heads = query_heads,
            .kv_heads = kv_heads,
            .scale_log2 = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_dim)))};
  }
  AttentionWork Work() const {
    return {narrow.data(),
            wide.data(),
            static_cast<int>(narrow.size()),
            static_cast<int>(wide.size()),
            combine.data(),
            static_cast<int>(combine.size())};
  }

  // Sequence -1 is one whose output would stand behind all others': no item may touch it.
  static std::vector<AttentionSequence> BehindOne(std::vector<AttentionSequence> sequences) {
    int end = 0;
    for (const AttentionSequence& s : sequences) end = std::max(end, s.first_token + s.tokens);
    sequences.insert(sequences.begin(), {end, 1, 0, 0, -1});
    return sequences;
  }

  Buffer<AttentionSequence> sequences;
  Buffer<int32_t> tables;
  Buffer<AttentionItem> narrow, wide;
  Buffer<CombineToken> combine;
  Buffer<float> partial_out, partial_state;
};

// With the kernels of this head_dim, 128 or 64. `alone`: WorldCut's.
void RunAttention(Stream& stream, const AttentionParams& params, const AttentionWork& work, int head_dim,
                  bool alone = false);
// A plan; its error in the stream.
AttentionPlan PlanOrRecord(Stream& stream, std::span<const AttentionSpan> spans,
                           const AttentionLimits& limits);

// Tokens of one of the world's sequences.
struct WorldRows {
  int sequence, position, tokens;
};

// How a run is cut; its result must not depend on it.
struct WorldCut {
  int narrow_blocks = 1, wide_blocks = 1;
  int filled = 0;      // entries that do nothing, in each of the plan's lists
  bool alone = false;  // each warp makes its own products, as where there is no wgmma
};

// What an output's error is measured by: its value, and the sum of its terms' sizes.
struct ReferenceRow {
  std::vector<double> value, size;  // [head_dim]
};

class AttentionWorld {
 public:
  AttentionWorld(Stream& stream, uint64_t seed, int query_heads, int kv_heads, int head_dim,
                 std::vector<int> lengths);

  // bf16 [tokens of all rows, query_heads * head_dim], NaNs where nothing was written.
  std::vector<uint16_t> Run(const std::vector<WorldRows>& rows, const WorldCut& cut);
  // Of one query head.
  ReferenceRow Reference(int sequence, int position, int query_head) const;

  int width() const { return query_heads_ * head_dim_; }
  int query_heads() const { return query_heads_; }
  int head_dim() const { return head_dim_; }
  int length(int sequence) const { return lengths_[sequence]; }

 private:
  // Its value stands a page further on.
  const uint16_t* KeyAt(int sequence, int position, int kv_head) const;

  Stream& stream_;
  int query_heads_, kv_heads_, head_dim_;
  std::vector<int> lengths_;
  std::vector<std::vector<uint16_t>> q_;     // [sequence][position][width]
  std::vector<std::vector<int32_t>> pages_;  // block tables
  std::vector<uint16_t> kv_;                 // all pages
  Buffer<uint16_t> kv_buffer_;
};

}  // namespace quire::kernels::cuda
