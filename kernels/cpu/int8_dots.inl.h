// A leaf's products of int8, group by group: the sum of each output's integers over a group is exact, and
// goes with both scales into the output's one fp32 sum, groups in ascending order; a row's bits therefore
// depend neither on its neighbours nor on how the integers were summed. Weights are unsigned (q + 128): x's
// part of that is where each sum of integers starts from. Included after columns.inl.h and before
// matmul.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

using PanelArgs = Int8Args;  // of matmul.inl.h
using Packed = uint8_t;

// A panel's chunk stays in L2 while all columns pass over it.
constexpr int64_t kChunkK = 8192;

// A step is four k's.
struct Int8Dot {
  static constexpr int kColumns = kInt8Columns;

  const uint8_t* weights;  // a panel's chunk: [steps][panel's SIMD rows][16][4]
  int64_t steps, group_steps;
  const uint16_t* weight_scales;  // [groups][panel's SIMD rows][16]
  const int8_t* x;                // of the first column
  int64_t x_stride;
  const float* x_scales;  // of the first column's groups
  const int32_t* starts;
  int64_t scale_stride;
  bool adds;             // to what the tile holds
  float* tile;           // [columns][48]
  const uint8_t* ahead;  // what to prefetch meanwhile

  void SkipRows(int64_t rows) {
    weights += rows * kStepBytes;
    weight_scales += rows * kLanes;
    tile += rows * kLanes;
  }
  void SkipColumns(int64_t columns) {
    x += columns * x_stride;
    x_scales += columns * scale_stride;
    starts += columns * scale_stride;
    tile += columns * kPanelRows;
  }
};

// What a group's integers bring to the tile.
template <int kPanel, int kRows, int kColumns, bool kAdds>
inline void AddGroup(const Int8Dot& dot, int64_t group, const I32 (&sums)[kColumns][kRows]) {
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
    const F32 weight_scale = LoadBf16(dot.weight_scales + (group * kPanel + r) * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      float* to = dot.tile + c * kPanelRows + r * kLanes;
      const F32 scale = Mul(weight_scale, Set1(dot.x_scales[c * dot.scale_stride + group]));
      const F32 sum = ToFloat(sums[c][r]);
      Store(to, kAdds ? Fma(sum, scale, Load(to)) : Mul(sum, scale));
    }
  }
}

// kRows of the panel's kPanel SIMD rows against kColumns columns, a group's integers all in registers.
template <int kPanel, int kRows, int kColumns, int kPrefetch>
void DotTile(const Int8Dot& dot) {
  const uint8_t* weights = dot.weights;
  const int8_t* x = dot.x;
  const uint8_t* ahead = dot.ahead;
  const int64_t groups = dot.steps / dot.group_steps;
  for (int64_t group = 0; group < groups; ++group) {
    I32 acc[kColumns][kRows];
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) acc[c][r] = SetInt(dot.starts[c * dot.scale_stride + group]);
    }
    for (int64_t step = 0; step < dot.group_steps; ++step) {
      Bytes w[kRows];
#pragma GCC unroll 3
      for (int r = 0; r < kRows; ++r) w[r] = LoadBytes(weights + r * kStepBytes);
#pragma GCC unroll 3
      for (int i = 0; i < kPrefetch; ++i) PrefetchToL2(ahead + i * kStepBytes);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const Bytes broadcast = BroadcastBytes(x + c * dot.x_stride);
#pragma GCC unroll 3
        for (int r = 0; r < kRows; ++r) acc[c][r] = DotBytes(acc[c][r], w[r], broadcast);
      }
      weights += kPanel * kStepBytes;
      ahead += kPrefetch * kStepBytes;
      x += 4;
    }
    if (group > 0 || dot.adds) {
      AddGroup<kPanel, kRows, kColumns, true>(dot, group, acc);
    } else {
      AddGroup<kPanel, kRows, kColumns, false>(dot, group, acc);
    }
  }
}

// tile [m][48] = x * panel^T over one leaf. Returns where the panel's next leaf starts.
template <int kPanel>
const uint8_t* LeafProduct(const Int8Args& args, int64_t leaf, const uint8_t* weights, float* tile) {
  const auto* scales = reinterpret_cast<const uint16_t*>(weights);
  weights += Int8ScaleBytes(args.leaf_groups, kPanel);
  const int64_t group_steps = args.group / 4, chunk = kChunkK / args.group;
  for (int64_t i = 0; i < args.leaf_groups; i += chunk) {
    const int64_t groups = args.leaf_groups - i < chunk ? args.leaf_groups - i : chunk;
    const int64_t group = leaf * args.leaf_groups + i;
    const Int8Dot dot{.weights = weights,
                      .steps = groups * group_steps,
                      .group_steps = group_steps,
                      .weight_scales = scales,
                      .x = args.x + group * args.group,
                      .x_stride = args.x_stride,
                      .x_scales = args.scales + group,
                      .starts = args.starts + group,
                      .scale_stride = args.scale_stride,
                      .adds = i > 0,
                      .tile = tile,
                      .ahead = nullptr};
    DotAllColumns<kPanel>(args.m, dot);
    weights += dot.steps * kPanel * kStepBytes;
    scales += groups * kPanel * kLanes;
  }
  return weights;
}

}  // namespace
}  // namespace quire::kernels::cpu
