// Sixteen lanes in two AVX2 registers. Included by kernels_avx2.cc only; simd_avx512.h has the same names
// with the same results, bit for bit, given FTZ and DAZ. NaN is the exception: which NaN comes out is not
// promised.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace quire::kernels::cpu {
namespace {

struct F32 {
  __m256 lo, hi;
};
// Sixteen pairs of bf16, one pair per lane.
struct Pairs {
  __m256i lo, hi;
};

// Register tile: 8 accumulators, 4 weights (odd and even) and 2 broadcasts.
constexpr int kTileRows = 1, kTileColumns = 4;

inline F32 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, F32 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
// Lanes below n; the rest zero.
inline F32 LoadFirst(const float* p, int64_t n) {
  if (n >= 16) return Load(p);
  float lanes[16] = {};
  __builtin_memcpy(lanes, p, n * sizeof(float));
  return Load(lanes);
}
inline void StoreFirst(float* p, int64_t n, F32 x) {
  if (n >= 16) return Store(p, x);
  float lanes[16];
  Store(lanes, x);
  __builtin_memcpy(p, lanes, n * sizeof(float));
}

inline F32 Add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32 Sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F32 Mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32 Div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
// a * b + c, rounded once.
inline F32 Fma(F32 a, F32 b, F32 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// b where either is NaN.
inline F32 Max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F32 RoundToInteger(F32 x) {
  return {_mm256_round_ps(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// Zero in the lanes where a < b, else x.
inline F32 ZeroWhereLess(F32 a, F32 b, F32 x) {
  return {_mm256_and_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_NLT_UQ), x.lo),
          _mm256_and_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_NLT_UQ), x.hi)};
}
inline __m256 MulPowerOf2(__m256 x, __m256 n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
}
// x * 2^n for integers n, which must give a normal number; zero in the lanes where a < b.
inline F32 MulPowerOf2OrZero(F32 x, F32 n, F32 a, F32 b) {
  return ZeroWhereLess(a, b, {MulPowerOf2(x.lo, n.lo), MulPowerOf2(x.hi, n.hi)});
}
// x in the lanes below n, else other.
inline F32 SelectFirst(int64_t n, F32 x, F32 other) {
  const __m256i limit = _mm256_set1_epi32(static_cast<int>(n < 0 ? 0 : n > 16 ? 16 : n));
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i lo = _mm256_cmpgt_epi32(limit, lanes);
  const __m256i hi = _mm256_cmpgt_epi32(limit, _mm256_add_epi32(lanes, _mm256_set1_epi32(8)));
  return {_mm256_blendv_ps(other.lo, x.lo, _mm256_castsi256_ps(lo)),
          _mm256_blendv_ps(other.hi, x.hi, _mm256_castsi256_ps(hi))};
}

// x in the lanes whose bit is set, else other.
inline __m256 SelectBits(__m256i bits, __m256i lanes, __m256 x, __m256 other) {
  const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(bits, lanes), lanes);
  return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(set));
}
inline F32 SelectBits(uint32_t bits, F32 x, F32 other) {
  const __m256i all = _mm256_set1_epi32(static_cast<int>(bits));
  const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return {SelectBits(all, lanes, x.lo, other.lo),
          SelectBits(all, _mm256_slli_epi32(lanes, 8), x.hi, other.hi)};
}
// A bit for each lane where a >= b.
inline uint32_t AtLeast(F32 a, F32 b) {
  const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ));
  const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ));
  return static_cast<uint32_t>(lo | hi << 8);
}

inline __m256 AddHalves(F32 x) { return _mm256_add_ps(x.lo, x.hi); }
inline __m256 MaxHalves(F32 x) { return _mm256_max_ps(x.lo, x.hi); }

inline Pairs LoadPairs(const uint16_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16))};
}
inline Pairs BroadcastPair(const uint16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
inline __m256 DotPairs(__m256 acc, __m256i w, __m256i x) {
  const __m256i odd = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  acc = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(w, odd)),
                        _mm256_castsi256_ps(_mm256_and_si256(x, odd)), acc);
  return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(w, 16)),
                         _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)), acc);
}
// acc + w.odd * x.odd, then + w.even * x.even, rounded twice: what vdpbf16ps does on Zen 4.
inline F32 DotPairs(F32 acc, Pairs w, Pairs x) {
  return {DotPairs(acc.lo, w.lo, x.lo), DotPairs(acc.hi, w.hi, x.hi)};
}

// Eight lanes as bf16 in the lower halves of 32 bits, as vcvtneps2bf16: to nearest even, denormals to zero.
inline __m256i RoundToBf16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i lowest = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i bias = _mm256_add_epi32(lowest, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  const __m256i is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i is_denormal = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), magnitude);
  const __m256i sign = _mm256_and_si256(upper, _mm256_set1_epi32(0x8000));
  return _mm256_blendv_epi8(_mm256_blendv_epi8(rounded, quiet, is_nan), sign, is_denormal);
}
inline __m256i ToBf16(F32 x) {
  const __m256i packed = _mm256_packus_epi32(RoundToBf16(x.lo), RoundToBf16(x.hi));
  return _mm256_permute4x64_epi64(packed, 0xd8);
}
}  // namespace
}  // namespace quire::kernels::cpu
