// The int8 matmuls compiled for AVX-512 with VNNI (flags in CMakeLists.txt). Nothing but these sources may be
// included here: an inline function shared with other files could carry this file's instructions into them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx512.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/simd_int8_avx512.h"
//
#include "kernels/cpu/columns.inl.h"
#include "kernels/cpu/int8_dots.inl.h"
#include "kernels/cpu/int8_rows.inl.h"
#include "kernels/cpu/matmul.inl.h"

namespace quire::kernels::cpu {

Int8Kernels Avx512Int8Kernels() { return {"avx512-vnni", Matmul, MatmulSiluMul, QuantizeX}; }

}  // namespace quire::kernels::cpu
