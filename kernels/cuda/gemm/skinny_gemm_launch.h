// Which tiling of SkinnyGemm serves which call: by rows of x and ranks. Tilings move bytes differently and
// give the same bits. Called by whoever owns the stream, under either compiler.
#pragma once

#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

// Leaves of one rank of `ranks`, for up to 8 rows of x and for up to 16.
template <int kRanks>
struct SkinnyTilings {
  static constexpr int kSplits = kRanks == 8 ? 4 : 8;
  static constexpr int kLeavesEach = kSkinnyLeaves / kRanks / kSplits;
  static constexpr int kGroups = kRanks == 8 ? 2 : 1;
  using Upto8 = SkinnyTiling<kSplits, kLeavesEach, kGroups, 1, 1, 8, 1>;
  using Upto16 = SkinnyTiling<kSplits, kLeavesEach, kGroups, 1, 2, 6, 1>;
};

template <typename Tiling, typename Out>
void LaunchSkinnyTiling(Stream& stream, const SkinnyGemmParams<Out>& params, int blocks, Order order) {
  using Kernel = SkinnyGemm<Tiling, Out>;
  const int tiles = Kernel::Tiles(params);
  Launch<Kernel>(stream, {tiles < blocks ? tiles : blocks}, Tiling::kSharedBytes, params, order);
}

template <int kRanks, typename Out>
void LaunchSkinnyRank(Stream& stream, const SkinnyGemmParams<Out>& params, int processors, Order order) {
  using Tilings = SkinnyTilings<kRanks>;
  if (params.m <= 8) {
    using Tiling = typename Tilings::Upto8;
    const int blocks = processors * SkinnyGemm<Tiling, Out>::kMinBlocks;
    return LaunchSkinnyTiling<Tiling>(stream, params, blocks, order);
  }
  using Tiling = typename Tilings::Upto16;
  const int blocks = processors * SkinnyGemm<Tiling, Out>::kMinBlocks;
  LaunchSkinnyTiling<Tiling>(stream, params, blocks, order);
}

// params.k is this rank's part of K; 1 <= m <= 16; ranks 1, 2, 4 or 8.
template <typename Out>
void LaunchSkinnyGemm(Stream& stream, const SkinnyGemmParams<Out>& params, int ranks, int processors,
                      Order order = Order::kAfter) {
  const bool aligned = params.k % 8 == 0 && params.weights_stride % 8 == 0 && params.x_stride % 8 == 0;
  if (params.m < 1 || params.m > kSkinnyMaxRows || params.n < 1 || params.k < 8 || !aligned) {
    return stream.Record(std::string("a skinny GEMM takes 1 to 16 rows, and rows aligned to 16 bytes"));
  }
  switch (ranks) {
    case 1:
      return LaunchSkinnyRank<1>(stream, params, processors, order);
    case 2:
      return LaunchSkinnyRank<2>(stream, params, processors, order);
    case 4:
      return LaunchSkinnyRank<4>(stream, params, processors, order);
    case 8:
      return LaunchSkinnyRank<8>(stream, params, processors, order);
    default:
      return stream.Record(std::string("a skinny GEMM is cut over 1, 2, 4 or 8 ranks"));
  }
}

}  // namespace quire::kernels::cuda
