// The matmuls on AMX, the rest of them AVX-512 (flags in CMakeLists.txt). Nothing but these sources may be
// included here: an inline function shared with other files could carry this file's instructions into them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx512.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/tile_dot.h"
//
#include "kernels/cpu/tiles_amx.h"
//
#include "kernels/cpu/tiles.inl.h"
//
#include "kernels/cpu/matmul.inl.h"

namespace quire::kernels::cpu {
namespace {

template <void (*kMatmul)(const MatmulArgs&)>
void OnTiles(const MatmulArgs& args) {
  const ThreadTiles tiles(RowGroups(args.m).rows);
  kMatmul(args);
}

}  // namespace

MatmulKernels AmxMatmuls() { return {OnTiles<Matmul>, OnTiles<MatmulSiluMul>}; }

}  // namespace quire::kernels::cpu
