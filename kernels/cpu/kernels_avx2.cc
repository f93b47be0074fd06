// The kernels compiled for AVX2 and FMA (flags in CMakeLists.txt). Nothing but these sources may be included
// here: an inline function shared with other files could carry this file's instructions into them.
#include "kernels/cpu/kernel_table.h"
//
#include "kernels/cpu/simd_avx2.h"
//
#include "kernels/cpu/simd_math.inl.h"
//
#include "kernels/cpu/attention.inl.h"
#include "kernels/cpu/columns.inl.h"
#include "kernels/cpu/dots.inl.h"
#include "kernels/cpu/matmul.inl.h"
#include "kernels/cpu/rows.inl.h"
#include "kernels/cpu/sampling.inl.h"

namespace quire::kernels::cpu {

const KernelTable& Avx2Kernels() {
  static constexpr KernelTable kTable = {
      "avx2",     "cpu-bf16-1", {Matmul, MatmulSiluMul}, Attention, RmsNorm, NormHead, Rotate, RowToBf16,
      DotOnePair, &kRowScans};
  return kTable;
}

}  // namespace quire::kernels::cpu
