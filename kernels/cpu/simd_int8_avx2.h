// What the int8 kernels need beside simd_avx2.h. Included by kernels_int8_avx2.cc and kernels_int8_avxvnni.cc
// only, before their kInt8Columns (of a register tile) and DotBytes: acc + the dot products of each lane's
// four bytes, w unsigned, x signed, exact.
#pragma once

namespace quire::kernels::cpu {
namespace {

struct I32 {
  __m256i lo, hi;
};
// Sixteen lanes of four bytes.
using Bytes = I32;

inline I32 SetInt(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32 AddInt(I32 a, I32 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline F32 ToFloat(I32 x) { return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
// To nearest, ties to even.
inline I32 RoundToInt(F32 x) { return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
inline int32_t SumOfLanes(I32 x) {
  const __m256i eight = _mm256_add_epi32(x.lo, x.hi);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}
// Lanes of -128 to 127.
inline void StoreInt8(int8_t* p, I32 x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

inline Bytes LoadBytes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
// The same four bytes in each lane.
inline Bytes BroadcastBytes(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return SetInt(four);
}

inline __m256 WidenBf16(__m128i bf16) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
}
inline F32 LoadBf16(const uint16_t* p) {
  return {WidenBf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          WidenBf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline F32 Abs(F32 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}

template <int kStride>
inline __m256 Butterfly(__m256 x) {
  const __m256 other = kStride == 1   ? _mm256_permute_ps(x, 0xb1)
                       : kStride == 2 ? _mm256_permute_ps(x, 0x4e)
                                      : _mm256_permute2f128_ps(x, x, 1);
  constexpr int kUpper = kStride == 1 ? 0xaa : kStride == 2 ? 0xcc : 0xf0;
  const __m256 sign = _mm256_blend_ps(_mm256_set1_ps(1), _mm256_set1_ps(-1), kUpper);
  return _mm256_fmadd_ps(x, sign, other);
}
// Of each two lanes a, b that are kStride apart, a + b and a - b.
template <int kStride>
inline F32 Butterfly(F32 x) {
  if constexpr (kStride == 8) return {_mm256_add_ps(x.lo, x.hi), _mm256_sub_ps(x.lo, x.hi)};
  if constexpr (kStride < 8) return {Butterfly<kStride>(x.lo), Butterfly<kStride>(x.hi)};
}

}  // namespace
}  // namespace quire::kernels::cpu
