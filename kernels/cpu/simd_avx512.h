// Sixteen lanes in one AVX-512 register. Included by kernels_avx512.cc only; simd_avx2.h has the same names
// with the same results, bit for bit, and says what each does.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace quire::kernels::cpu {
namespace {

using F32 = __m512;
using Pairs = __m512i;

// Register tile: 24 accumulators, 3 weights and a broadcast.
constexpr int kTileRows = 3, kTileColumns = 8;

inline F32 Zero() { return _mm512_setzero_ps(); }
inline F32 Set1(float x) { return _mm512_set1_ps(x); }
inline F32 Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, F32 x) { _mm512_storeu_ps(p, x); }
inline __mmask16 FirstLanes(int64_t n) {
  return n >= 16 ? __mmask16{0xffff} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
}
inline F32 LoadFirst(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(FirstLanes(n), p); }
inline void StoreFirst(float* p, int64_t n, F32 x) { _mm512_mask_storeu_ps(p, FirstLanes(n), x); }

inline F32 Add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
inline F32 Sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
inline F32 Mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
inline F32 Div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
inline F32 Fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
inline F32 Max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
inline F32 RoundToInteger(F32 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline F32 MulPowerOf2OrZero(F32 x, F32 n, F32 a, F32 b) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
  const __mmask16 keep = _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ);
  return _mm512_castsi512_ps(_mm512_maskz_add_epi32(keep, _mm512_castps_si512(x), exponent));
}
inline F32 ZeroWhereLess(F32 a, F32 b, F32 x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x);
}
inline F32 SelectFirst(int64_t n, F32 x, F32 other) { return _mm512_mask_mov_ps(other, FirstLanes(n), x); }

inline F32 SelectBits(uint32_t bits, F32 x, F32 other) {
  return _mm512_mask_mov_ps(other, static_cast<__mmask16>(bits), x);
}
inline uint32_t AtLeast(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }

inline __m256 FoldHalves(F32 x, __m256 (*fold)(__m256, __m256)) {
  return fold(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
inline __m256 AddHalves(F32 x) {
  return FoldHalves(x, [](__m256 a, __m256 b) { return _mm256_add_ps(a, b); });
}
inline __m256 MaxHalves(F32 x) {
  return FoldHalves(x, [](__m256 a, __m256 b) { return _mm256_max_ps(a, b); });
}

inline Pairs LoadPairs(const uint16_t* p) { return _mm512_loadu_si512(p); }
inline Pairs BroadcastPair(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm512_set1_epi32(pair);
}
inline F32 DotPairs(F32 acc, Pairs w, Pairs x) {
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
}

inline __m256i ToBf16(F32 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }
}  // namespace
}  // namespace quire::kernels::cpu
