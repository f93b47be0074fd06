// Whether kernels compute the same bits, tried on numbers where any other way to compute them would show:
// random bits, magnitudes near 1, sums that cancel, that underflow, denormals. Which NaN comes out is left
// open. Used where an instruction set is chosen (isa.h), by one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {

// Whether the two tables' dot products agree in every lane.
bool DotProductsAgree(const KernelTable& a, const KernelTable& b);

// Whether plain int8 matmuls of a few shapes agree (a gate's are made of the same products), and what rows of
// x become for them.
bool Int8KernelsAgree(const Int8Kernels& a, const Int8Kernels& b);

// Small matmuls of many shapes, and the bits that `right` gives of them.
class MatmulTrial {
 public:
  explicit MatmulTrial(const MatmulKernels& right);
  // Whether these give the same. Allocates nothing and asks the system for nothing: it may run between a fork
  // and the child's end.
  bool Passes(const MatmulKernels& kernels);

 private:
  struct Case {
    int64_t m, rows, leaves, leaf_pairs;
    std::vector<uint16_t> x, weights;  // weights of a gate/up matrix; a plain one is their first half
    std::vector<float> plain;
    std::vector<uint16_t> silu_mul;
  };

  void AddCase(int kind, int64_t m, int64_t rows, int64_t leaves, int64_t leaf_pairs);
  void Run(const Case& trial, const MatmulKernels& kernels, float* plain, uint16_t* silu_mul);

  std::vector<Case> cases_;
  std::vector<float> tiles_, plain_;  // scratch for any case
  std::vector<uint16_t> silu_mul_;
};

}  // namespace quire::kernels::cpu
