// For tests only: a tensor with memory of its own, for ranks to exchange.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace quire::worker {

struct TestMatrix {
  std::vector<float> values;
  kernels::Tensor tensor;
  TestMatrix(int64_t rows, int64_t cols)
      : values(rows * (cols + 3)), tensor{values.data(), kernels::DType::kF32, rows, cols, cols + 3} {}
};

}  // namespace quire::worker
