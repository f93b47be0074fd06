// Matmuls of the CPU backend by matrices in int8: x's rows are made int8 once, then each thread multiplies
// its slice by them. The backend owns one; the engine's thread calls it with denormals flushed.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/tensor.h"

namespace quire::kernels::cpu {

class Int8Ops {
 public:
  // All of them outlive it; `tiles` has scratch for each of the pool's threads.
  Int8Ops(const Int8Kernels& kernels, ThreadPool& pool, Arena& memory, const std::vector<float*>& tiles)
      : kernels_(kernels), pool_(pool), memory_(memory), tiles_(tiles) {}

  // Room for the rows that this matrix, an int8 one, will meet. At load.
  absl::Status Reserve(const PackedMatrix& matrix);
  // As Backend's, whose checks they have passed.
  void Matmul(Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out);
  void MatmulSiluMul(Tensor x, const PackedMatrix& gate_up, Tensor out);

 private:
  using Kernel = void (*)(const Int8Args&);

  void Run(Kernel kernel, Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out);
  // Of up to kMaxColumns rows.
  void Quantize(Tensor x, int64_t group);

  const Int8Kernels& kernels_;
  ThreadPool& pool_;
  Arena& memory_;
  const std::vector<float*>& tiles_;
  // x as int8: [kMaxColumns][q_stride_], and [kMaxColumns][groups_] of each.
  int8_t* q_ = nullptr;
  int64_t q_stride_ = 0, groups_ = 0;
  float* scales_ = nullptr;
  int32_t* starts_ = nullptr;
};

}  // namespace quire::kernels::cpu
