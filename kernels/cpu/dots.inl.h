// A leaf's products in SIMD registers, of the family cpu-bf16-1: every output has exactly one accumulator,
// which takes its k's in ascending order, whatever the number of columns (tokens) and however they are cut
// into register tiles; a row's bits therefore never depend on its neighbours. Included after columns.inl.h
// and before matmul.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

using PanelArgs = MatmulArgs;  // of matmul.inl.h
using Packed = uint16_t;

// k is cut so that a panel's chunk stays in L2 (48 rows of it: 0.5 MB) while all columns pass over it.
constexpr int64_t kChunkPairs = 5120 / 2;

// A step is a pair. kContinue: the tile holds the sums of the k's before.
template <bool kContinue>
struct Dot {
  static constexpr int kColumns = kTileColumns;

  const uint8_t* weights;  // a panel's chunk: [pairs][panel's SIMD rows][16][2]
  int64_t steps;
  const uint16_t* x;  // first column
  int64_t x_stride;
  float* tile;           // [columns][48]
  const uint8_t* ahead;  // what to prefetch meanwhile

  void SkipRows(int64_t rows) {
    weights += rows * kStepBytes;
    tile += rows * kLanes;
  }
  void SkipColumns(int64_t columns) {
    x += columns * x_stride;
    tile += columns * kPanelRows;
  }
};

// kRows of the panel's kPanel SIMD rows against kColumns columns, all in registers.
template <int kPanel, int kRows, int kColumns, int kPrefetch, bool kContinue>
void DotTile(const Dot<kContinue>& dot) {
  F32 acc[kColumns][kRows];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      acc[c][r] = kContinue ? Load(dot.tile + c * kPanelRows + r * kLanes) : Zero();
    }
  }
  const auto* weights = reinterpret_cast<const uint16_t*>(dot.weights);
  const uint16_t* x = dot.x;
  const uint8_t* ahead = dot.ahead;
  for (int64_t pair = 0; pair < dot.steps; ++pair) {
    Pairs w[kRows];
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) w[r] = LoadPairs(weights + r * 2 * kLanes);
#pragma GCC unroll 3
    for (int i = 0; i < kPrefetch; ++i) PrefetchToL2(ahead + i * kStepBytes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Pairs broadcast = BroadcastPair(x + c * dot.x_stride);
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) acc[c][r] = DotPairs(acc[c][r], w[r], broadcast);
    }
    weights += kPanel * 2 * kLanes;
    ahead += kPrefetch * kStepBytes;
    x += 2;
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) Store(dot.tile + c * kPanelRows + r * kLanes, acc[c][r]);
  }
}

// tile [m][48] = x * panel^T over one leaf. Returns where the panel's next leaf starts.
template <int kPanel>
const uint16_t* LeafProduct(const MatmulArgs& args, int64_t leaf, const uint16_t* weights, float* tile) {
  const uint16_t* x = args.x + 2 * leaf * args.leaf_pairs;
  for (int64_t pair = 0; pair < args.leaf_pairs; pair += kChunkPairs) {
    const int64_t pairs = args.leaf_pairs - pair < kChunkPairs ? args.leaf_pairs - pair : kChunkPairs;
    const auto* bytes = reinterpret_cast<const uint8_t*>(weights);
    if (pair == 0) {
      DotAllColumns<kPanel>(args.m, Dot<false>{bytes, pairs, x + 2 * pair, args.x_stride, tile, nullptr});
    } else {
      DotAllColumns<kPanel>(args.m, Dot<true>{bytes, pairs, x + 2 * pair, args.x_stride, tile, nullptr});
    }
    weights += pairs * kPanel * 2 * kLanes;
  }
  return weights;
}

}  // namespace
}  // namespace quire::kernels::cpu
