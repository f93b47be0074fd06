// Folds what blocks left of rows whose splits several of them walked: a warp has one (token, query head). Of
// 32 splits each lane makes the factors of one; eight splits' values are read at once; the fold itself is in
// order, and the same as Merge's. Device code; attention.h launches it.
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
    int count;  // of tokens
    int query_heads, kv_heads;
    float scale_log2;
  };
  static constexpr int kWarps = 4, kThreads = kWarps * kWarpLanes, kMinBlocks = 6;

  static int Blocks(const Params& p) { return (p.count * p.query_heads + kWarps - 1) / kWarps; }

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    const int at = BlockIndex().x * kWarps + WarpIndex();
    const CombineToken token = at < p.count * p.query_heads ? p.tokens[at / p.query_heads] : CombineToken{};
    WaitForPriorKernel();
    if (token.splits == 0) return;
    const int query_head = at % p.query_heads, group = p.query_heads / p.kv_heads;
    const int64_t first_row = token.partial_row + query_head % group * p.kv_heads + query_head / group;
    Sums sums;
    QUIRE_NO_UNROLL
    for (int first = 0; first < token.splits; first += kWarpLanes) {
      const int count = token.splits - first < kWarpLanes ? token.splits - first : kWarpLanes;
      FoldSplits(p, first_row + static_cast<int64_t>(first) * token.split_rows, token.split_rows, count,
                 first == 0, sums);
    }
    Store(p.out + (static_cast<int64_t>(token.token) * p.query_heads + query_head) * kHeadDim, sums);
  }

 private:
  static constexpr int kLaneDims = kHeadDim / kWarpLanes, kAtOnce = 8;
  static_assert(kLaneDims == 2 || kLaneDims == 4);

  struct Sums {
    float highest = -INFINITY, sum = 0, out[kLaneDims] = {};
  };

  static QUIRE_DEVICE void FoldSplits(const Params& p, int64_t row, int split_rows, int count, bool first,
                                      Sums& sums) {
    SoftmaxState state;
    if (LaneIndex() < count) {
      const float* from = p.partial_state + (row + static_cast<int64_t>(LaneIndex()) * split_rows) * 2;
      state = {from[0], from[1]};
    }
    const float* from = p.partial_out + row * kHeadDim + LaneIndex() * kLaneDims;
    const int64_t step = static_cast<int64_t>(split_rows) * kHeadDim;
    const MergeFactors factors = Factors(state, first, sums.highest, p.scale_log2);
    QUIRE_NO_UNROLL
    for (int begin = 0; begin < count; begin += kAtOnce) {
      float values[kAtOnce][kLaneDims] = {};
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        if (begin + i < count) Load(from + (begin + i) * step, values[i]);
      }
      // A split that is not there has factors 1 and 0.
      QUIRE_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const MergeFactors of{Shuffle(factors.earlier, begin + i), Shuffle(factors.later, begin + i)};
        sums.sum = MergeValues(of, sums.sum, Shuffle(state.sum, begin + i));
        QUIRE_UNROLL
        for (int d = 0; d < kLaneDims; ++d) sums.out[d] = MergeValues(of, sums.out[d], values[i][d]);
      }
    }
  }

  static QUIRE_DEVICE void Load(const float* from, float (&to)[kLaneDims]) {
    if constexpr (kLaneDims == 4) {
      const Word128 word = Load128(from);
      QUIRE_UNROLL
      for (int d = 0; d < kLaneDims; ++d) to[d] = BitsToFloat(word.word[d]);
    } else {
      QUIRE_UNROLL
      for (int d = 0; d < kLaneDims; ++d) to[d] = from[d];
    }
  }

  static QUIRE_DEVICE void Store(uint16_t* row, const Sums& sums) {
    const float inverse = Divide(1, sums.sum);
    QUIRE_UNROLL
    for (int d = 0; d < kLaneDims; d += 2) {
      *reinterpret_cast<uint32_t*>(row + LaneIndex() * kLaneDims + d) =
          PackBf16(Normalized(sums.out[d], inverse), Normalized(sums.out[d + 1], inverse));
    }
  }

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
