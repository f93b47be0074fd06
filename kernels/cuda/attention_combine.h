// Folds what blocks left of rows whose splits several of them walked: a block has one (token, query head), a
// thread one dimension. The factors of 32 splits at a time are made side by side, one by each lane; the fold
// itself is in order, and the same as Merge's. Device code; attention.h launches it.
#pragma once

#include "kernels/cuda/attention_block.h"

namespace quire::kernels::cuda {

template <int kHeadDim>
struct AttentionCombineKernel {
  struct Params {
    AttentionParams attention;
    const CombineToken* tokens;
  };
  static constexpr int kThreads = kHeadDim, kMinBlocks = 1;
  static constexpr int kAhead = 16;  // loads under way

  static QUIRE_DEVICE void Run(const Params& params) {
    WaitForPriorKernel();
    const AttentionParams& p = params.attention;
    const CombineToken token = params.tokens[BlockIndex().x / p.query_heads];
    const AttentionSequence sequence = p.sequences[token.sequence];
    const int query_head = BlockIndex().x % p.query_heads, group = p.query_heads / p.kv_heads;
    const int64_t first_row =
        PartialRow(p, sequence, 0, token.token * group + query_head % group, query_head / group);
    const int64_t split_rows = static_cast<int64_t>(sequence.tokens) * p.query_heads;
    const int splits = (sequence.position + token.token) / kSplitKeys + 1;
    float highest = -INFINITY, sum = 0, out = 0;
    for (int first = 0; first < splits; first += kWarpLanes) {
      const int count = splits - first < kWarpLanes ? splits - first : kWarpLanes;
      SoftmaxState state;
      if (LaneIndex() < count) {
        const float* from = p.partial_state + (first_row + (first + LaneIndex()) * split_rows) * 2;
        state = {from[0], from[1]};
      }
      const MergeFactors factors = Factors(state, first == 0, highest, p.scale_log2);
      const float* values = p.partial_out + (first_row + first * split_rows) * kHeadDim + ThreadIndex();
      FoldAll(values, split_rows * kHeadDim, count, state, factors, sum, out);
    }
    const float mine = Normalized(out, Divide(1, sum)), next = ShuffleXor(mine, 1);
    if (ThreadIndex() % 2 != 0) return;
    uint16_t* to =
        p.out +
        (static_cast<int64_t>(sequence.first_token + token.token) * p.query_heads + query_head) * kHeadDim;
    *reinterpret_cast<uint32_t*>(to + ThreadIndex()) = PackBf16(mine, next);
  }

 private:
  // This lane's split's. `highest` goes from that before all 32 to that of all.
  static QUIRE_DEVICE MergeFactors Factors(const SoftmaxState& state, bool first, float& highest,
                                           float scale_log2) {
    float until = Max(highest, state.highest);  // of the splits up to this lane's
    QUIRE_UNROLL
    for (int distance = 1; distance < kWarpLanes; distance *= 2) {
      const float before = Shuffle(until, LaneIndex() - distance);
      if (LaneIndex() >= distance) until = Max(until, before);
    }
    float before = Shuffle(until, LaneIndex() - 1);
    if (LaneIndex() == 0) before = first ? until : highest;  // nothing before the first split: 0 times 1
    highest = Shuffle(until, kWarpLanes - 1);
    return {Exp2((before - until) * scale_log2), Exp2((state.highest - until) * scale_log2)};
  }

  static QUIRE_DEVICE void FoldAll(const float* values, int64_t stride, int count, const SoftmaxState& state,
                                   const MergeFactors& factors, float& sum, float& out) {
    for (int first = 0; first < count; first += kAhead) {
      float v[kAhead];
      QUIRE_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (first + i < count) v[i] = values[(first + i) * stride];
      }
      QUIRE_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        const MergeFactors of{Shuffle(factors.earlier, first + i), Shuffle(factors.later, first + i)};
        const float later = Shuffle(state.sum, first + i);
        if (first + i >= count) continue;
        sum = MergeValues(of, sum, later);
        out = MergeValues(of, out, v[i]);
      }
    }
  }
};

}  // namespace quire::kernels::cuda
