// A leaf's products in tiles, of the family cpu-bf16-2: one kernel for every number of rows of x (tokens),
// over the packing that the dots of the other family read. A leaf's k's are taken in steps of 32 from its
// first one, by its sums in order, whatever the number of rows and however k is cut into chunks; a row's bits
// therefore never depend on its neighbours. Included after TilePanel (tile_dot.h) and before matmul.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

using PanelArgs = MatmulArgs;  // of matmul.inl.h
using Packed = uint16_t;

static_assert(kMaxColumns % kGroupRows == 0, "a tile holds all groups of the most rows");

// As dots.inl.h's: a panel's chunk stays in L2 while all rows pass over it.
constexpr int64_t kChunkPairs = 5120 / 2;
static_assert(kChunkPairs % kStepPairs == 0, "a chunk ends with a step");
// How far ahead of itself a single pass fetches weights, in elements.
constexpr int64_t kAheadElements = 4096;

// Rows of x in equal groups, so that one configuration of the tiles serves a whole matmul. Where they don't
// divide, the last group begins within the one before it, and computes a few rows again.
struct RowGroups {
  explicit RowGroups(int64_t m)
      : m(m), count((m + kGroupRows - 1) / kGroupRows), rows((m + count - 1) / count) {}
  int64_t First(int64_t group) const { return group + 1 < count ? group * rows : m - rows; }
  const int64_t m, count, rows;
};

// Where the products of x's rows stand in a tile, group after group: those that are computed twice, in the
// last group.
struct TileRows {
  explicit TileRows(int64_t m) {
    const RowGroups groups(m);
    last = (groups.count - 1) * groups.rows;
    again = Count(m) - m;
  }
  static int64_t Count(int64_t m) {
    const RowGroups groups(m);
    return groups.count * groups.rows;
  }
  int64_t Of(int64_t row) const { return row < last ? row : row + again; }
  int64_t last, again;  // where the last group stands; how many of its rows stand before it, too
};

template <int kPanel, int kLines>
void DotGroups(int64_t groups, const TileDot& dot) {
  if (groups == 2) return TilePanel<kPanel, 2, kLines>(dot);
  TilePanel<kPanel, 1, kLines>(dot);
}

// `lines` of each of the panel's strips are fetched in a step.
template <int kPanel>
void DotFetching(int64_t lines, int64_t groups, const TileDot& dot) {
  if (lines == 16) return DotGroups<kPanel, 16 * kPanel>(groups, dot);
  if (lines == 8) return DotGroups<kPanel, 8 * kPanel>(groups, dot);
  if (lines == 2) return DotGroups<kPanel, 2 * kPanel>(groups, dot);
  DotGroups<kPanel, 0>(groups, dot);
}

// All rows of x, two groups at a time. One pass fetches what it is to read itself; the first of several fetch
// what follows the chunk, which all of them find in L2, spread over up to eight.
template <int kPanel>
void DotAllRows(const RowGroups& groups, const uint16_t* x, TileDot dot) {
  const int64_t passes = (groups.count + 1) / 2;
  const int64_t fetching = passes == 1 ? 1 : passes < 8 ? 2 : 8, lines = kStepPairs / fetching;
  float* tile = dot.tile;
  dot.ahead += passes == 1 ? kAheadElements : dot.steps * kStepPairs * kPanel * 2 * kLanes;
  for (int64_t pass = 0; pass < passes; ++pass) {
    const int64_t group = 2 * pass, count = group + 1 < groups.count ? 2 : 1;
    for (int64_t i = 0; i < count; ++i) dot.x[i] = x + groups.First(group + i) * dot.x_stride;
    dot.tile = tile + group * groups.rows * kPanelRows;
    DotFetching<kPanel>(pass < fetching ? lines : 0, count, dot);
    dot.ahead += lines * kPanel * dot.steps * 2 * kLanes;
  }
}

inline void CopyPadded(const uint16_t* from, int64_t count, int64_t size, uint16_t* to) {
  __builtin_memcpy(to, from, count * sizeof(uint16_t));
  __builtin_memset(to + count, 0, (size - count) * sizeof(uint16_t));
}

// The leaf's last pairs, fewer than a step: filled up with zeros on both sides, since what follows them in
// the packing is another leaf's.
template <int kPanel>
void DotRest(const RowGroups& groups, const uint16_t* x, int64_t pairs, TileDot dot) {
  constexpr int64_t kPairElements = kPanel * 2 * kLanes;
  alignas(64) uint16_t weights[kStepPairs * kPairElements];
  alignas(64) uint16_t inputs[kMaxColumns * 2 * kStepPairs];
  CopyPadded(dot.weights, pairs * kPairElements, kStepPairs * kPairElements, weights);
  for (int64_t row = 0; row < groups.m; ++row) {
    CopyPadded(x + row * dot.x_stride, 2 * pairs, 2 * kStepPairs, inputs + row * 2 * kStepPairs);
  }
  dot.steps = 1;
  dot.weights = weights;
  dot.x_stride = 2 * kStepPairs;
  DotAllRows<kPanel>(groups, inputs, dot);
}

// tile [rows][48] = x * panel^T over one leaf. Returns where the panel's next leaf starts.
template <int kPanel>
const uint16_t* LeafProduct(const MatmulArgs& args, int64_t leaf, const uint16_t* weights, float* tile) {
  const RowGroups groups(args.m);
  const uint16_t* x = args.x + 2 * leaf * args.leaf_pairs;
  const int64_t rest = args.leaf_pairs % kStepPairs, whole = args.leaf_pairs - rest;
  TileDot dot{0, weights, {}, args.x_stride, groups.rows, tile, false, weights};
  for (int64_t pair = 0; pair < whole; pair += kChunkPairs) {
    const int64_t pairs = whole - pair < kChunkPairs ? whole - pair : kChunkPairs;
    dot.steps = pairs / kStepPairs;
    DotAllRows<kPanel>(groups, x + 2 * pair, dot);
    dot.weights += pairs * kPanel * 2 * kLanes;
    dot.ahead = dot.weights;
    dot.adds = true;
  }
  if (rest > 0) DotRest<kPanel>(groups, x + 2 * whole, rest, dot);
  return dot.weights + rest * kPanel * 2 * kLanes;
}

}  // namespace
}  // namespace quire::kernels::cpu
