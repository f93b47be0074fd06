// The matmuls of kernels_amx.cc, bit by bit, compiled for AVX2 and FMA (flags in CMakeLists.txt). Nothing but
// these sources may be included here: an inline function shared with other files could carry this file's
// instructions into them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/tile_dot.h"
//
#include "kernels/cpu/tiles_twin.h"
//
#include "kernels/cpu/tiles.inl.h"
//
#include "kernels/cpu/matmul.inl.h"

namespace quire::kernels::cpu {

MatmulKernels AmxTwinMatmuls() { return {Matmul, MatmulSiluMul}; }

}  // namespace quire::kernels::cpu
