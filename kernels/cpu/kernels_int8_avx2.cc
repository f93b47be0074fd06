// The int8 matmuls compiled for AVX2 and FMA (flags in CMakeLists.txt). Nothing but these sources may be
// included here: an inline function shared with other files could carry this file's instructions into them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/simd_int8_avx2.h"

namespace quire::kernels::cpu {
namespace {

// Register tile: 6 accumulators, 4 weights (of even and odd k's), 2 of x and 2 products.
constexpr int kInt8Columns = 3;

// vpmaddubsw would saturate, so bytes are widened: those of even and of odd k's apart.
inline __m256i DotBytes(__m256i acc, __m256i w, __m256i x) {
  const __m256i even = _mm256_madd_epi16(_mm256_srli_epi16(_mm256_slli_epi16(w, 8), 8),
                                         _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(x, 8));
  return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
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

Int8Kernels Avx2Int8Kernels() { return {"avx2", Matmul, MatmulSiluMul, QuantizeX}; }

}  // namespace quire::kernels::cpu
