// How a panel's weights meet all columns (tokens): in register tiles of equal width, fetching meanwhile what
// they will meet next. A kernel brings a type `Dot` of its own: steps of the panel's weights, one cache line
// for each SIMD row; the first column's place in x and in the tile; how many columns fit into registers
// (kColumns); SkipRows, SkipColumns; and
// DotTile<kPanel, kRows, kColumns, kPrefetch>(dot), which computes kRows of the panel's kPanel SIMD rows for
// kColumns columns and prefetches kPrefetch lines from `ahead` on in each step. Included after
// simd_math.inl.h and before what has such a Dot.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kStepBytes = 64;  // of one SIMD row's weights

// How far ahead of itself a pass over m columns fetches weights, in bytes. Measured, T1 hint: with few
// columns a longer lead keeps the hardware's own prefetcher from helping, with many a shorter one comes too
// late.
inline int64_t AheadBytes(int64_t m) { return m == 1 ? 4096 : m <= 5 ? 1024 : 8192; }

template <int kPanel, int kColumns, int kPrefetch, typename Dot>
void DotPanel(Dot dot) {
  // One column needs few registers: then even narrow registers take the panel as one stream.
  constexpr int kRows = kColumns == 1 || kTileRows > kPanel ? kPanel : kTileRows;
  static_assert(kPanel % kRows == 0 || kRows == 3);
  for (int row = 0; row < kPanel; row += kRows) {
    DotTile<kPanel, kRows, kColumns, kPrefetch>(dot);
    dot.SkipRows(kRows);
  }
}

template <int kPanel, int kColumns, int kPrefetch, typename Dot>
void DotColumns(int64_t columns, const Dot& dot) {
  if (columns == kColumns) return DotPanel<kPanel, kColumns, kPrefetch>(dot);
  if constexpr (kColumns > 1) DotColumns<kPanel, kColumns - 1, kPrefetch>(columns, dot);
}

template <int kPanel, typename Dot>
void DotWithPrefetch(int64_t columns, int64_t lines, const Dot& dot) {
  if (lines <= 0) return DotColumns<kPanel, Dot::kColumns, 0>(columns, dot);
  if (lines == 1) return DotColumns<kPanel, Dot::kColumns, 1>(columns, dot);
  if constexpr (kPanel > 1) {
    if (lines == 2) return DotColumns<kPanel, Dot::kColumns, 2>(columns, dot);
  }
  if constexpr (kPanel > 2) return DotColumns<kPanel, Dot::kColumns, kPanel>(columns, dot);
}

template <int kPanel, typename Dot>
void DotAllColumns(int64_t m, Dot dot) {
  const int64_t count = (m + Dot::kColumns - 1) / Dot::kColumns;
  if (count == 1) {
    dot.ahead = dot.weights + AheadBytes(m);
    return DotWithPrefetch<kPanel>(m, kPanel, dot);
  }
  // Equal groups of columns. They fetch what follows these weights, kPanel lines a step in all, spread as
  // thinly as the first groups can.
  const int64_t lines = (kPanel + count - 1) / count;
  dot.ahead = dot.weights + dot.steps * kPanel * kStepBytes;
  for (int64_t i = 0, left = kPanel; i < count; ++i, left -= lines) {
    const int64_t columns = m * (i + 1) / count - m * i / count;
    DotWithPrefetch<kPanel>(columns, left < lines ? left : lines, dot);
    dot.SkipColumns(columns);
    dot.ahead += lines * dot.steps * kStepBytes;
  }
}

// Where the columns' products stand in a tile: each in its own row.
struct TileRows {
  explicit TileRows(int64_t) {}
  static int64_t Count(int64_t m) { return m; }
  static int64_t Of(int64_t column) { return column; }
};

}  // namespace
}  // namespace quire::kernels::cpu
