// Tile products without AMX, by fp32 FMA with denormals flushed: the bits of tiles_amx.h on any machine with
// AVX2, for tests. Included by kernels_amx_twin.cc only, after simd_avx2.h. Which NaN comes out is not
// promised.
#pragma once

namespace quire::kernels::cpu {
namespace {

inline F32 Even(Pairs pairs) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs.lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(pairs.hi, 16))};
}
inline F32 Odd(Pairs pairs) {
  const __m256i odd = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(pairs.lo, odd)),
          _mm256_castsi256_ps(_mm256_and_si256(pairs.hi, odd))};
}

// One row of x and one strip of a step's weights.
template <int kPanel>
inline F32 AddStep(F32 sum, const uint16_t* weights, const uint16_t* x) {
  F32 even = Zero(), odd = Zero();
  for (int64_t pair = 0; pair < kStepPairs; ++pair) {
    const Pairs w = LoadPairs(weights + pair * kPanel * 2 * kLanes), broadcast = BroadcastPair(x + 2 * pair);
    even = Fma(Even(w), Even(broadcast), even);
    odd = Fma(Odd(w), Odd(broadcast), odd);
  }
  return Add(sum, Add(even, odd));
}

template <int kPanel, int kGroups, int kLines>
void TilePanel(const TileDot& dot) {
  for (int64_t row = 0; row < kGroups * dot.rows; ++row) {
    float* tile = dot.tile + row * kPanelRows;
    const uint16_t* x = dot.x[row / dot.rows] + row % dot.rows * dot.x_stride;
    for (int64_t strip = 0; strip < kPanel; ++strip) {
      const uint16_t* weights = dot.weights + strip * 2 * kLanes;
      F32 sum = dot.adds ? Load(tile + strip * kLanes) : Zero();
      for (int64_t step = 0; step < dot.steps; ++step) {
        sum = AddStep<kPanel>(sum, weights + step * kStepPairs * kPanel * 2 * kLanes,
                              x + step * 2 * kStepPairs);
      }
      Store(tile + strip * kLanes, sum);
    }
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
