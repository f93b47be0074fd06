// Which tiling of SkinnyGemm serves which call: by rows of x, leaves and tiles. Tilings move bytes
// differently and give the same bits. Called by whoever owns the stream, under either compiler. Measured on
// an H100 (132 multiprocessors); another device may want others.
#pragma once

#include "kernels/cuda/gemm/skinny_gemm.h"

namespace quire::kernels::cuda {

// Blocks that stay: as many at once as the device holds, tile after tile. With kEven each has as many tiles
// as the others.
template <typename Tiling, bool kEven, typename Out>
void LaunchSkinnyTiling(Stream& stream, const SkinnyGemmParams<Out>& params, const DeviceSize& device,
                        Order order) {
  using Kernel = SkinnyGemm<Tiling, Out>;
  constexpr int kOwn =
      1 << 10;  // of shared memory: of each block, and what a multiprocessor has beyond one's
  const int fit = (device.shared_bytes + kOwn) / (Tiling::kSharedBytes + kOwn);
  const int each = fit < 1 ? 1 : fit < Tiling::kBlocks ? fit : Tiling::kBlocks;
  const int tiles = Kernel::Tiles(params), most = device.processors * each;
  const int rounds = (tiles + most - 1) / most;
  const int blocks = kEven ? (tiles + rounds - 1) / rounds : tiles < most ? tiles : most;
  Launch<Kernel>(stream, {blocks}, Tiling::kSharedBytes, params, order);
}

// A tree: the leaves' warps share a block, which has a multiprocessor for itself. Small ones are for sm_80.
template <int kLeaves>
struct SkinnyTree {
  template <typename Out>
  static void Launch(Stream& stream, const SkinnyGemmParams<Out>& params, const DeviceSize& device,
                     Order order) {
    using Upto8 = SkinnyTiling<kLeaves, 1, 1, 1, 1, 4, 4>;
    using Small8 = SkinnyTiling<kLeaves, 1, 1, 1, 1, 3, 4>;
    // Beyond 8 rows x is read once for 48 rows of weights: 107 blocks have all 5120 of o and down.
    using Upto16 = SkinnyTiling<kLeaves / 2, 2, 1, 3, 2, 3, 4>;
    using Small16 = SkinnyTiling<kLeaves, 1, 1, 1, 2, 2, 4>;
    using Upto32 = SkinnyTiling<kLeaves / 2, 2, 1, 3, 4, 4, 2>;
    using Small32 = SkinnyTiling<kLeaves, 1, 1, 1, 4, 2, 2>;
    static_assert(Small8::kSharedBytes <= kSharedBytesSm80 && Small16::kSharedBytes <= kSharedBytesSm80 &&
                  Small32::kSharedBytes <= kSharedBytesSm80);
    if (params.m <= 8) {
      return Upto8::kSharedBytes <= device.shared_bytes
                 ? LaunchSkinnyTiling<Upto8, false>(stream, params, device, order)
                 : LaunchSkinnyTiling<Small8, false>(stream, params, device, order);
    }
    if (params.m > 16) {
      return Upto32::kSharedBytes <= device.shared_bytes
                 ? LaunchSkinnyTiling<Upto32, true>(stream, params, device, order)
                 : LaunchSkinnyTiling<Small32, true>(stream, params, device, order);
    }
    return Upto16::kSharedBytes <= device.shared_bytes
               ? LaunchSkinnyTiling<Upto16, true>(stream, params, device, order)
               : LaunchSkinnyTiling<Small16, true>(stream, params, device, order);
  }
};

// A chain is one warp with a deep ring. The deepest, three to a multiprocessor, unless four get all tiles
// under way at once where three don't; beyond 8 rows of x four wherever three don't.
struct SkinnyChain {
  template <typename Out>
  static void Launch(Stream& stream, const SkinnyGemmParams<Out>& params, const DeviceSize& device,
                     Order order) {
    using Deep8 = SkinnyTiling<1, 1, 1, 1, 1, 6, 8>;
    using Four8 = SkinnyTiling<1, 1, 1, 1, 1, 8, 4>;
    using Deep16 = SkinnyTiling<1, 1, 1, 1, 2, 8, 4>;
    using Four16 = SkinnyTiling<1, 1, 1, 1, 2, 6, 4>;
    using Deep32 = SkinnyTiling<1, 1, 1, 2, 4, 4, 4>;
    using Four32 = SkinnyTiling<1, 1, 1, 2, 4, 3, 4>;
    static_assert(Deep8::kBlocks == 3 && Four8::kBlocks == 4 && Deep16::kBlocks == 3 && Four16::kBlocks == 4);
    static_assert(Deep32::kBlocks == 3 && Four32::kBlocks == 4);
    if (params.m > 16) {
      return SkinnyGemm<Deep32, Out>::Tiles(params) > 3 * device.processors
                 ? LaunchSkinnyTiling<Four32, true>(stream, params, device, order)
                 : LaunchSkinnyTiling<Deep32, true>(stream, params, device, order);
    }
    const int tiles = SkinnyGemm<Deep8, Out>::Tiles(params);
    const bool four = tiles > 3 * device.processors && (tiles <= 4 * device.processors || params.m > 8);
    if (params.m <= 8) {
      return four ? LaunchSkinnyTiling<Four8, true>(stream, params, device, order)
                  : LaunchSkinnyTiling<Deep8, true>(stream, params, device, order);
    }
    return four ? LaunchSkinnyTiling<Four16, true>(stream, params, device, order)
                : LaunchSkinnyTiling<Deep16, true>(stream, params, device, order);
  }
};

// params.k is this rank's part of K, cut in `leaves`: 1, or kSkinnyLeaves / ranks. 1 <= m <= 32.
template <typename Out>
void LaunchSkinnyGemm(Stream& stream, const SkinnyGemmParams<Out>& params, int leaves,
                      const DeviceSize& device, Order order = Order::kAfter) {
  const bool aligned = params.k % 8 == 0 && params.weights_stride % 8 == 0 && params.x_stride % 8 == 0;
  if (params.m < 1 || params.m > kSkinnyMaxRows || params.n < 1 || params.k < 8 || !aligned) {
    return stream.Record(std::string("a skinny GEMM takes 1 to 32 rows, and rows aligned to 16 bytes"));
  }
  if (device.shared_bytes < kSharedBytesSm80)
    return stream.Record(
        std::string("a skinny GEMM wants a device with 163 KiB of shared memory for a block"));
  switch (leaves) {
    case 1:
      return SkinnyChain::Launch(stream, params, device, order);
    case 2:
      return SkinnyTree<2>::Launch(stream, params, device, order);
    case 4:
      return SkinnyTree<4>::Launch(stream, params, device, order);
    case 8:
      return SkinnyTree<8>::Launch(stream, params, device, order);
    default:
      return stream.Record(std::string("a skinny GEMM has 1, 2, 4 or 8 leaves"));
  }
}

}  // namespace quire::kernels::cuda
