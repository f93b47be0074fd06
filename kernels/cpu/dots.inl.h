// A leaf's products in SIMD registers, of the family cpu-bf16-1: every output has exactly one accumulator,
// which takes its k's in ascending order, whatever the number of columns (tokens) and however they are cut
// into register tiles; a row's bits therefore never depend on its neighbours. Included after simd_math.inl.h
// and before matmul.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

// k is cut so that a panel's chunk stays in L2 (48 rows of it: 0.5 MB) while all columns pass over it.
constexpr int64_t kChunkPairs = 5120 / 2;
// How far ahead of itself a pass over m columns fetches weights, in elements. Measured, T1 hint: with few
// columns a longer lead keeps the hardware's own prefetcher from helping, with many a shorter one comes too
// late.
inline int64_t AheadElements(int64_t m) { return m == 1 ? 2048 : m <= 5 ? 512 : 4096; }

struct Dot {
  const uint16_t* weights;  // a panel's chunk: [pairs][panel's SIMD rows][16][2]
  int64_t pairs;
  const uint16_t* x;  // first column
  int64_t x_stride;
  float* tile;            // [columns][48]
  const uint16_t* ahead;  // what to prefetch meanwhile
};

// kRows of the panel's kPanel SIMD rows against kColumns columns, all in registers.
template <int kPanel, int kRows, int kColumns, bool kContinue, int kPrefetch>
void DotTile(const Dot& dot) {
  F32 acc[kColumns][kRows];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      acc[c][r] = kContinue ? Load(dot.tile + c * kPanelRows + r * kLanes) : Zero();
    }
  }
  const uint16_t* weights = dot.weights;
  const uint16_t* x = dot.x;
  const uint16_t* ahead = dot.ahead;
  for (int64_t pair = 0; pair < dot.pairs; ++pair) {
    Pairs w[kRows];
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) w[r] = LoadPairs(weights + r * 2 * kLanes);
#pragma GCC unroll 3
    for (int i = 0; i < kPrefetch; ++i) PrefetchToL2(ahead + i * 2 * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Pairs broadcast = BroadcastPair(x + c * dot.x_stride);
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) acc[c][r] = DotPairs(acc[c][r], w[r], broadcast);
    }
    weights += kPanel * 2 * kLanes;
    ahead += kPrefetch * 2 * kLanes;
    x += 2;
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) Store(dot.tile + c * kPanelRows + r * kLanes, acc[c][r]);
  }
}

template <int kPanel, int kColumns, bool kContinue, int kPrefetch>
void DotPanel(Dot dot) {
  // One column needs few registers: then even narrow registers take the panel as one stream.
  constexpr int kRows = kColumns == 1 || kTileRows > kPanel ? kPanel : kTileRows;
  static_assert(kPanel % kRows == 0 || kRows == 3);
  for (int row = 0; row < kPanel; row += kRows) {
    DotTile<kPanel, kRows, kColumns, kContinue, kPrefetch>(dot);
    dot.weights += kRows * 2 * kLanes;
    dot.tile += kRows * kLanes;
  }
}

template <int kPanel, int kColumns, bool kContinue, int kPrefetch>
void DotColumns(int64_t columns, const Dot& dot) {
  if (columns == kColumns) return DotPanel<kPanel, kColumns, kContinue, kPrefetch>(dot);
  if constexpr (kColumns > 1) DotColumns<kPanel, kColumns - 1, kContinue, kPrefetch>(columns, dot);
}

template <int kPanel, bool kContinue>
void DotWithPrefetch(int64_t columns, int64_t lines, const Dot& dot) {
  if (lines <= 0) return DotColumns<kPanel, kTileColumns, kContinue, 0>(columns, dot);
  if (lines == 1) return DotColumns<kPanel, kTileColumns, kContinue, 1>(columns, dot);
  if constexpr (kPanel > 1) {
    if (lines == 2) return DotColumns<kPanel, kTileColumns, kContinue, 2>(columns, dot);
  }
  if constexpr (kPanel > 2) return DotColumns<kPanel, kTileColumns, kContinue, kPanel>(columns, dot);
}

template <int kPanel, bool kContinue>
void DotAllColumns(const MatmulArgs& args, Dot dot) {
  const int64_t count = (args.m + kTileColumns - 1) / kTileColumns;
  if (count == 1) {
    dot.ahead = dot.weights + AheadElements(args.m);
    return DotWithPrefetch<kPanel, kContinue>(args.m, kPanel, dot);
  }
  // Equal groups of columns. They fetch what follows this chunk, kPanel lines a step in all, spread as thinly
  // as the first groups can.
  const uint16_t* x = dot.x;
  float* tile = dot.tile;
  const int64_t lines = (kPanel + count - 1) / count;
  dot.ahead = dot.weights + dot.pairs * kPanel * 2 * kLanes;
  for (int64_t i = 0, left = kPanel; i < count; ++i, left -= lines) {
    const int64_t first = args.m * i / count, columns = args.m * (i + 1) / count - first;
    dot.x = x + first * dot.x_stride;
    dot.tile = tile + first * kPanelRows;
    DotWithPrefetch<kPanel, kContinue>(columns, left < lines ? left : lines, dot);
    dot.ahead += lines * dot.pairs * 2 * kLanes;
  }
}

// tile [m][48] = x * panel^T over one leaf. Returns where the panel's next leaf starts.
template <int kPanel>
const uint16_t* LeafProduct(const MatmulArgs& args, int64_t leaf, const uint16_t* weights, float* tile) {
  const uint16_t* x = args.x + 2 * leaf * args.leaf_pairs;
  for (int64_t pair = 0; pair < args.leaf_pairs; pair += kChunkPairs) {
    const int64_t pairs = args.leaf_pairs - pair < kChunkPairs ? args.leaf_pairs - pair : kChunkPairs;
    const Dot dot{weights, pairs, x + 2 * pair, args.x_stride, tile, nullptr};
    if (pair == 0) {
      DotAllColumns<kPanel, false>(args, dot);
    } else {
      DotAllColumns<kPanel, true>(args, dot);
    }
    weights += pairs * kPanel * 2 * kLanes;
  }
  return weights;
}

// Where the columns' products stand in a tile: each in its own row.
struct TileRows {
  explicit TileRows(int64_t) {}
  static int64_t Count(int64_t m) { return m; }
  static int64_t Of(int64_t column) { return column; }
};

}  // namespace
}  // namespace quire::kernels::cpu
