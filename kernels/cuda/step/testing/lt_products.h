// cuBLASLt for a step, apart from everything that nvcc reads (its front end dies of the library's types):
// products whose sums are the decode GEMM's chain. Algorithms are those of kind 66 without split-K, where
// there are any; among them the fastest, timed when a shape is first run, which must not be under capture.
// One thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace quire::kernels::cuda {

// y[m, n] = x[m, k] * weights[n, k]^T, bf16 in. With leaves L > 1: L products at once, each of the next k of
// rows that are L * k long; their results stand m * y_stride apart.
struct LtProduct {
  const void *weights, *x;
  void* y;
  int m, n, k;
  int64_t y_stride;
  int leaves;
  bool y_is_bf16;  // else fp32
};

// What was chosen for a shape, to be printed.
struct LtChoice {
  int m, n, k, leaves, candidates;
  double us;
  bool kind_66;
  std::string algorithm;
};

class LtProducts {
 public:
  // Null with `why` where the library is not to be had.
  static std::unique_ptr<LtProducts> Open(std::function<void(const LtChoice&)> chose, std::string* why);
  ~LtProducts();
  LtProducts(const LtProducts&) = delete;
  LtProducts& operator=(const LtProducts&) = delete;

  // "", or why nothing was enqueued.
  std::string Run(const LtProduct& product, cudaStream_t stream);

 private:
  class Library;
  explicit LtProducts(std::unique_ptr<Library> library);
  const std::unique_ptr<Library> library_;
};

}  // namespace quire::kernels::cuda
