// Folds what blocks left of rows whose splits several of them walked: a block has one (token, query head), a
// thread one dimension. 32 splits at a time: all are read at once, a lane makes the factors of one; the fold
// itself is in order, and the same as Merge's. Device code; attention.h launches it.
#pragma once

#include "kernels/cuda/attention_block.h"

namespace quire::kernels::cuda {

template <int kHeadDim>
struct AttentionCombineKernel {
  struct Params {
    const float* partial_out;
    const float* partial_state;
    const CombineToken* tokens;
    uint16_t* out;
    int query_heads, kv_heads;
    float scale_log2;
  };
  static constexpr int kThreads = kHeadDim, kMinBlocks = 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    const CombineToken token = p.tokens[BlockIndex().x / p.query_heads];
    const int query_head = BlockIndex().x % p.query_heads, group = p.query_heads / p.kv_heads;
    const int64_t first_row = token.partial_row + query_head % group * p.kv_heads + query_head / group;
    WaitForPriorKernel();
    float highest = -INFINITY, sum = 0, out = 0;
    for (int first = 0; first < token.splits; first += kWarpLanes) {
      const int count = token.splits - first < kWarpLanes ? token.splits - first : kWarpLanes;
      const int64_t row = first_row + static_cast<int64_t>(first) * token.split_rows;
      float values[kWarpLanes];
      QUIRE_UNROLL
      for (int i = 0; i < kWarpLanes; ++i) {
        if (i < count)
          values[i] =
              p.partial_out[(row + static_cast<int64_t>(i) * token.split_rows) * kHeadDim + ThreadIndex()];
      }
      SoftmaxState state;
      if (LaneIndex() < count) {
        const float* from =
            p.partial_state + (row + static_cast<int64_t>(LaneIndex()) * token.split_rows) * 2;
        state = {from[0], from[1]};
      }
      const MergeFactors factors = Factors(state, first == 0, highest, p.scale_log2);
      QUIRE_UNROLL
      for (int i = 0; i < kWarpLanes; ++i) {
        if (i >= count) break;
        const MergeFactors of{Shuffle(factors.earlier, i), Shuffle(factors.later, i)};
        sum = MergeValues(of, sum, Shuffle(state.sum, i));
        out = MergeValues(of, out, values[i]);
      }
    }
    const float mine = Normalized(out, Divide(1, sum)), next = ShuffleXor(mine, 1);
    if (ThreadIndex() % 2 != 0) return;
    uint16_t* to = p.out + (static_cast<int64_t>(token.token) * p.query_heads + query_head) * kHeadDim;
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
};

}  // namespace quire::kernels::cuda
