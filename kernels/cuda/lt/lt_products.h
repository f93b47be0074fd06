// cuBLASLt for a step, apart from everything that nvcc reads (its front end dies of the library's types):
// products whose sums are the decode GEMM's chain. Algorithms are those of kind 66 without split-K; among
// them the fastest, timed when a shape is first run, which must not be under capture. One thread.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/cuda/lt/lt_product.h"

namespace quire::kernels::cuda {

// What was chosen for a shape, to be printed.
struct LtChoice {
  int m, n, k, leaves, candidates;
  double us;              // of the fastest
  std::string algorithm;  // "": there is none
};

class LtProducts {
 public:
  // Whether the library is to be had; else "why" says where it was looked for.
  static bool IsThere(std::string* why);
  // Null with `why` where the library is not to be had.
  static std::unique_ptr<LtProducts> Open(std::function<void(const LtChoice&)> chose, std::string* why);
  ~LtProducts();
  LtProducts(const LtProducts&) = delete;
  LtProducts& operator=(const LtProducts&) = delete;

  LtAnswer Run(const LtProduct& product, cudaStream_t stream);
  // Of the library that was found: its bits may be others than another's.
  size_t version() const;

 private:
  class Library;
  explicit LtProducts(std::unique_ptr<Library> library);
  const std::unique_ptr<Library> library_;
};

}  // namespace quire::kernels::cuda
