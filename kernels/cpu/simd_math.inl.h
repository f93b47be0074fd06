// What both instruction sets build from their wrapper: sums over lanes in one fixed tree, bf16 rows, 2^x.
// Included after simd_avx512.h or simd_avx2.h, nowhere else.
#pragma once

namespace quire::kernels::cpu {
namespace {

inline float SumLanes(F32 x) {
  const __m256 eight = AddHalves(x);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

inline float MaxLanes(F32 x) {
  const __m256 eight = MaxHalves(x);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

inline void StoreBf16(uint16_t* p, F32 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), ToBf16(x)); }
// The lanes below n.
inline void StoreBf16First(uint16_t* p, int64_t n, F32 x) {
  if (n >= kLanes) return StoreBf16(p, x);
  uint16_t lanes[kLanes];
  StoreBf16(lanes, x);
  __builtin_memcpy(p, lanes, n * sizeof(uint16_t));
}

// 2^x for x < 127, to about 2e-7; exactly 1 at 0, exactly 0 below -126. NaN stays NaN.
inline F32 Exp2(F32 x) {
  const F32 integer = RoundToInteger(x);
  const F32 rest = Sub(x, integer);  // in [-0.5, 0.5]
  // Least largest relative error over that range, with 2^0 = 1 fixed.
  F32 sum = Set1(1.3264730e-3f);
  sum = Fma(sum, rest, Set1(9.6715139e-3f));
  sum = Fma(sum, rest, Set1(5.5507336e-2f));
  sum = Fma(sum, rest, Set1(2.4022242e-1f));
  sum = Fma(sum, rest, Set1(6.9314700e-1f));
  sum = Fma(sum, rest, Set1(1.0f));
  return MulPowerOf2OrZero(sum, integer, x, Set1(-126.0f));
}

constexpr float kLog2E = 1.44269504f;

// x / (1 + e^-x); 0 below -87, where e^-x nears the end of Exp2's range and the result that of bf16.
inline F32 Silu(F32 x) {
  const F32 exponent = Mul(x, Set1(-kLog2E));
  return ZeroWhereLess(Set1(126.0f), exponent, Div(x, Add(Set1(1.0f), Exp2(exponent))));
}

inline void PrefetchToL2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

}  // namespace
}  // namespace quire::kernels::cpu
