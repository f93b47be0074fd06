// Which tiling of SkinnyGemm serves which call: by rows of x and ranks. Tilings move bytes differently and
// give the same bits. Called by whoever owns the stream, under either compiler.
#pragma once

#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

// For up to 8 rows of x and for up to 16. A lone chain has a deep ring and a block of its own.
template <int kLeaves>
struct SkinnyTilings {
  using Upto8 = SkinnyTiling<kLeaves, 1, 1, 1, 1, 4, 4>;
  using Upto16 = SkinnyTiling<kLeaves, 1, 1, 2, 2, 2, 4>;
};
template <>
struct SkinnyTilings<1> {
  using Upto8 = SkinnyTiling<1, 1, 1, 1, 1, 8, 4>;
  using Upto16 = SkinnyTiling<1, 1, 1, 1, 2, 6, 4>;
};

// At most `blocks` at once, each with as many tiles as the others: fewer blocks that end together beat more
// that leave the last tiles to some.
template <typename Tiling, typename Out>
void LaunchSkinnyTiling(Stream& stream, const SkinnyGemmParams<Out>& params, int blocks, Order order) {
  using Kernel = SkinnyGemm<Tiling, Out>;
  const int tiles = Kernel::Tiles(params);
  const int rounds = (tiles + blocks - 1) / blocks;
  Launch<Kernel>(stream, {(tiles + rounds - 1) / rounds}, Tiling::kSharedBytes, params, order);
}

template <int kLeaves, typename Out>
void LaunchSkinnyLeaves(Stream& stream, const SkinnyGemmParams<Out>& params, int processors, Order order) {
  using Tilings = SkinnyTilings<kLeaves>;
  if (params.m <= 8) {
    using Tiling = typename Tilings::Upto8;
    const int blocks = processors * SkinnyGemm<Tiling, Out>::kMinBlocks;
    return LaunchSkinnyTiling<Tiling>(stream, params, blocks, order);
  }
  using Tiling = typename Tilings::Upto16;
  const int blocks = processors * SkinnyGemm<Tiling, Out>::kMinBlocks;
  LaunchSkinnyTiling<Tiling>(stream, params, blocks, order);
}

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
      return LaunchSkinnyLeaves<1>(stream, params, processors, order);
    case 2:
      return LaunchSkinnyLeaves<2>(stream, params, processors, order);
    case 4:
      return LaunchSkinnyLeaves<4>(stream, params, processors, order);
    case 8:
      return LaunchSkinnyLeaves<8>(stream, params, processors, order);
    default:
      return stream.Record(std::string("a skinny GEMM has 1, 2, 4 or 8 leaves"));
  }
}

}  // namespace quire::kernels::cuda
