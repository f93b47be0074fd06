// The int8 matmuls compiled for AVX2, FMA and AVX-VNNI (flags in CMakeLists.txt). Nothing but these sources
// may be included here: an inline function shared with other files could carry this file's instructions into
// them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/simd_int8_avx2.h"

namespace quire::kernels::cpu {
namespace {

constexpr int kInt8Columns = kTileColumns;

// Spelt out: its form for AVX-VNNI, not that of AVX-512.
inline __m256i DotBytes(__m256i acc, __m256i w, __m256i x) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
  return acc;
}
inline I32 DotBytes(I32 acc, Bytes w, Bytes x) {
  return {DotBytes(acc.lo, w.lo, x.lo), DotBytes(acc.hi, w.hi, x.hi)};
}

}  // namespace
}  // namespace quire::kernels::cpu

#include "kernels/cpu/columns.inl.h"
#include "kernels/cpu/int8_dots.inl.h"
#include "kernels/cpu/int8_rows.inl.h"
#include "kernels/cpu/matmul.inl.h"

namespace quire::kernels::cpu {

Int8Kernels AvxVnniInt8Kernels() { return {"avx-vnni", Matmul, MatmulSiluMul, QuantizeX}; }

}  // namespace quire::kernels::cpu
