// The tree over leaves that were computed apart: y = ((l0 + l1) + (l2 + l3)) + ((l4 + l5) + (l6 + l7)), the
// sums of SkinnyGemm's eight leaves; of two or four alike. With a library's GEMM that sums an eighth of k as
// one chain, prefill of o and down gets the bits of decode. Launched by whoever owns the stream.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"
#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

struct TreeSumParams {
  const float* leaves;  // [leaves][count]
  float* y;             // [count]
  int64_t count;        // a multiple of 4
};

template <int kLeaves>
struct TreeSumKernel {
  using Params = TreeSumParams;
  static constexpr int kThreads = 256, kMinBlocks = 1, kOfBlock = kThreads * 4;

  static QUIRE_DEVICE void Run(const Params& p) {
    LetNextKernelStart();
    WaitForPriorKernel();
    const int64_t at = (static_cast<int64_t>(BlockIndex().x) * kThreads + ThreadIndex()) * 4;
    if (at >= p.count) return;
    Word128 leaf[kLeaves];
    QUIRE_UNROLL
    for (int i = 0; i < kLeaves; ++i) leaf[i] = Load128Once(p.leaves + i * p.count + at);
    Word128 sum;
    QUIRE_UNROLL
    for (int j = 0; j < 4; ++j) {
      float v[kLeaves];
      QUIRE_UNROLL
      for (int i = 0; i < kLeaves; ++i) v[i] = BitsToFloat(leaf[i].word[j]);
      QUIRE_UNROLL
      for (int width = 1; width < kLeaves; width *= 2) {
        QUIRE_UNROLL
        for (int i = 0; i + width < kLeaves; i += 2 * width) v[i] = v[i] + v[i + width];
      }
      sum.word[j] = FloatToBits(v[0]);
    }
    Store128(p.y + at, sum);
  }
};

template <int kLeaves>
void LaunchTreeSum(Stream& stream, const TreeSumParams& params, Order order) {
  using Kernel = TreeSumKernel<kLeaves>;
  const auto blocks = static_cast<int>((params.count + Kernel::kOfBlock - 1) / Kernel::kOfBlock);
  Launch<Kernel>(stream, {.x = blocks}, 0, params, order);
}

inline void TreeSum(Stream& stream, int leaves, const TreeSumParams& params, Order order = Order::kAfter) {
  if (params.count % 4 != 0) return stream.Record("a tree sums rows of a multiple of 4");
  if (leaves == 2) return LaunchTreeSum<2>(stream, params, order);
  if (leaves == 4) return LaunchTreeSum<4>(stream, params, order);
  if (leaves == 8) return LaunchTreeSum<8>(stream, params, order);
  stream.Record("a tree has 2, 4 or 8 leaves");
}

}  // namespace quire::kernels::cuda
