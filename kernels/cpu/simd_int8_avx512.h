// What the int8 kernels need beside simd_avx512.h: sixteen lanes of integers, dot products of four bytes by
// VNNI, a Hadamard matrix's butterflies. Included by kernels_int8_avx512.cc only; simd_int8_avx2.h has the
// same names with the same results, bit for bit, and says what each does.
#pragma once

namespace quire::kernels::cpu {
namespace {

using I32 = __m512i;
using Bytes = __m512i;

constexpr int kInt8Columns = kTileColumns;

inline I32 SetInt(int32_t x) { return _mm512_set1_epi32(x); }
inline I32 AddInt(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
inline F32 ToFloat(I32 x) { return _mm512_cvtepi32_ps(x); }
inline I32 RoundToInt(F32 x) { return _mm512_cvtps_epi32(x); }
inline int32_t SumOfLanes(I32 x) { return _mm512_reduce_add_epi32(x); }
inline void StoreInt8(int8_t* p, I32 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
}

inline Bytes LoadBytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline Bytes BroadcastBytes(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}
// Spelt out: g++ 12 keeps the sums of _mm512_dpbusd_epi32 on the stack.
inline I32 DotBytes(I32 acc, Bytes w, Bytes x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}

inline F32 LoadBf16(const uint16_t* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline F32 Abs(F32 x) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
}
template <int kStride>
inline F32 Butterfly(F32 x) {
  const F32 other = kStride == 1   ? _mm512_permute_ps(x, 0xb1)
                    : kStride == 2 ? _mm512_permute_ps(x, 0x4e)
                    : kStride == 4 ? _mm512_shuffle_f32x4(x, x, 0xb1)
                                   : _mm512_shuffle_f32x4(x, x, 0x4e);
  constexpr int kUpper = kStride == 1 ? 0xaaaa : kStride == 2 ? 0xcccc : kStride == 4 ? 0xf0f0 : 0xff00;
  const F32 sign = _mm512_mask_blend_ps(kUpper, _mm512_set1_ps(1), _mm512_set1_ps(-1));
  return _mm512_fmadd_ps(x, sign, other);
}

}  // namespace
}  // namespace quire::kernels::cpu
