// The tree over leaves that were computed apart: y = ((l0 + l1) + (l2 + l3)) + ((l4 + l5) + (l6 + l7)), the
// sums of SkinnyGemm's eight leaves. With a library's GEMM that sums an eighth of k as one chain, prefill of
// o and down gets the bits of decode. Launched by whoever owns the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

struct TreeSumKernel {
  struct Params {
    const float* leaves;  // [kSkinnyLeaves][count]
    float* y;             // [count]
    int64_t count;        // a multiple of 4
  };
  static constexpr int kThreads = 256, kMinBlocks = 1, kOfBlock = kThreads * 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int64_t at = (static_cast<int64_t>(BlockIndex().x) * kThreads + ThreadIndex()) * 4;
    if (at >= p.count) return;
    Word128 leaf[kSkinnyLeaves];
    QUIRE_UNROLL
    for (int i = 0; i < kSkinnyLeaves; ++i) leaf[i] = Load128Once(p.leaves + i * p.count + at);
    Word128 sum;
    QUIRE_UNROLL
    for (int j = 0; j < 4; ++j) {
      float v[kSkinnyLeaves];
      QUIRE_UNROLL
      for (int i = 0; i < kSkinnyLeaves; ++i) v[i] = BitsToFloat(leaf[i].word[j]);
      sum.word[j] = FloatToBits(((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])));
    }
    Store128(p.y + at, sum);
  }
};

inline void TreeSum(Stream& stream, const TreeSumKernel::Params& params, Order order = Order::kAfter) {
  if (params.count % 4 != 0) return stream.Record("a tree sums rows of a multiple of 4");
  const auto blocks =
      static_cast<int>((params.count + TreeSumKernel::kOfBlock - 1) / TreeSumKernel::kOfBlock);
  Launch<TreeSumKernel>(stream, {.x = blocks}, 0, params, order);
}

}  // namespace quire::kernels::cuda
