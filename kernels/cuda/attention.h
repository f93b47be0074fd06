// Paged attention, one path for decode, prefill and all between. A row is (token, query head); the rows of
// one KV head stand together (row = token * group + head in group), 16 in a tensor core tile, so that a
// decode step's few rows share one. Each row's sums run in one order: tiles of 64 keys from each split's
// start, splits (attention_rules.h) folded from the first on. So a row's bits depend on its q and on the K
// and V at its positions, and not on the batch, on chunks, on the height of its block, or on which block took
// which split; the checks compare them bit by bit. attention_plan.h decides who does what; attention_narrow.h
// and attention_wide.h compute; where the splits of a row went to several blocks, attention_combine.h folds
// them. Called on the host by whoever owns the stream. A kernel may start beside the one before it and reads
// its part of the plan at once: a plan is written before that one starts.
#pragma once

#include <cmath>

#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/attention_narrow.h"
#include "kernels/cuda/attention_wide.h"

namespace quire::kernels::cuda {

// A plan's arrays in device memory.
struct AttentionWork {
  const AttentionItem *narrow, *wide;
  int narrow_count, wide_count;
  const CombineToken* combine;
  int combine_count;
};

template <int kHeadDim, typename Wide = AttentionWideKernel<kHeadDim>>
void Attention(Stream& stream, AttentionParams params, const AttentionWork& work,
               Order order = Order::kOverlapping) {
  using Narrow = AttentionNarrowKernel<kHeadDim>;
  using Combine = AttentionCombineKernel<kHeadDim>;
  if (work.wide_count > 0) {
    params.items = work.wide;
    Launch<Wide>(stream, {.x = work.wide_count * params.kv_heads}, Wide::kSharedBytes, params, order);
  }
  if (work.narrow_count > 0) {
    params.items = work.narrow;
    Launch<Narrow>(stream, {.x = work.narrow_count * params.kv_heads}, Narrow::kSharedBytes, params, order);
  }
  if (work.combine_count > 0) {
    const typename Combine::Params combine{params.partial_out, params.partial_state, work.combine,
                                           params.out,         work.combine_count,   params.query_heads,
                                           params.kv_heads,    params.scale_log2};
    Launch<Combine>(stream, {.x = Combine::Blocks(combine)}, 0, combine, order);
  }
}

// The same for heads of a size known when it runs.
inline void Attention(Stream& stream, int head_dim, const AttentionParams& params, const AttentionWork& work,
                      Order order = Order::kOverlapping) {
  if (head_dim == 128) return Attention<128>(stream, params, work, order);
  if (head_dim == 64) return Attention<64>(stream, params, work, order);
  stream.Record("no attention kernel for this head_dim");
}

// params.scale_log2.
inline float AttentionScaleLog2(int head_dim) {
  return static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(head_dim)));
}

}  // namespace quire::kernels::cuda
