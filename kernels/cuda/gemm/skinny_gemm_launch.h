// Which tiling of SkinnyGemm serves which call: by rows of x, leaves and tiles. Tilings move bytes
// differently and give the same bits. Called by whoever owns the stream, under either compiler. Measured on
// an H100 (132 multiprocessors); another device may want others.
#pragma once

#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

// Blocks that stay: `most` of them at once, tile after tile. With kEven each has as many tiles as the others.
template <typename Tiling, bool kEven, typename Out>
void LaunchSkinnyTiling(Stream& stream, const SkinnyGemmParams<Out>& params, int processors, Order order) {
  using Kernel = SkinnyGemm<Tiling, Out>;
  const int tiles = Kernel::Tiles(params), most = processors * Tiling::kBlocks;
  const int rounds = (tiles + most - 1) / most;
  const int blocks = kEven ? (tiles + rounds - 1) / rounds : tiles < most ? tiles : most;
  Launch<Kernel>(stream, {blocks}, Tiling::kSharedBytes, params, order);
}

// A tree: the leaves' warps share a block, which has a multiprocessor for itself.
template <int kLeaves>
struct SkinnyTree {
  template <typename Out>
  static void Launch(Stream& stream, const SkinnyGemmParams<Out>& params, int processors, Order order) {
    using Upto8 = SkinnyTiling<kLeaves, 1, 1, 1, 1, 4, 4>;
    using Upto16 = SkinnyTiling<kLeaves, 1, 1, 2, 2, 2, 4>;
    if (params.m <= 8) return LaunchSkinnyTiling<Upto8, false>(stream, params, processors, order);
    LaunchSkinnyTiling<Upto16, true>(stream, params, processors, order);
  }
};

// A chain is one warp with a deep ring. The deepest, three to a multiprocessor, unless four get all tiles
// under way at once where three don't.
struct SkinnyChain {
  template <typename Out>
  static void Launch(Stream& stream, const SkinnyGemmParams<Out>& params, int processors, Order order) {
    using Deep8 = SkinnyTiling<1, 1, 1, 1, 1, 6, 8>;
    using Four8 = SkinnyTiling<1, 1, 1, 1, 1, 8, 4>;
    using Deep16 = SkinnyTiling<1, 1, 1, 1, 2, 8, 4>;
    using Four16 = SkinnyTiling<1, 1, 1, 1, 2, 6, 4>;
    static_assert(Deep8::kBlocks == 3 && Four8::kBlocks == 4 && Deep16::kBlocks == 3 && Four16::kBlocks == 4);
    const int tiles = SkinnyGemm<Deep8, Out>::Tiles(params);
    const bool four = tiles > 3 * processors && (tiles <= 4 * processors || params.m > 8);
    if (params.m <= 8) {
      return four ? LaunchSkinnyTiling<Four8, true>(stream, params, processors, order)
                  : LaunchSkinnyTiling<Deep8, true>(stream, params, processors, order);
    }
    return four ? LaunchSkinnyTiling<Four16, true>(stream, params, processors, order)
                : LaunchSkinnyTiling<Deep16, true>(stream, params, processors, order);
  }
};

// params.k is this rank's part of K, cut in `leaves`: 1, or kSkinnyLeaves / ranks. 1 <= m <= 16.
template <typename Out>
void LaunchSkinnyGemm(Stream& stream, const SkinnyGemmParams<Out>& params, int leaves, int processors,
                      Order order = Order::kAfter) {
  const bool aligned = params.k % 8 == 0 && params.weights_stride % 8 == 0 && params.x_stride % 8 == 0;
  if (params.m < 1 || params.m > kSkinnyMaxRows || params.n < 1 || params.k < 8 || !aligned) {
    return stream.Record(std::string("a skinny GEMM takes 1 to 16 rows, and rows aligned to 16 bytes"));
  }
  switch (leaves) {
    case 1:
      return SkinnyChain::Launch(stream, params, processors, order);
    case 2:
      return SkinnyTree<2>::Launch(stream, params, processors, order);
    case 4:
      return SkinnyTree<4>::Launch(stream, params, processors, order);
    case 8:
      return SkinnyTree<8>::Launch(stream, params, processors, order);
    default:
      return stream.Record(std::string("a skinny GEMM has 1, 2, 4 or 8 leaves"));
  }
}

}  // namespace quire::kernels::cuda
