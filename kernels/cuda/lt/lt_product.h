// A product that cuBLASLt is asked for. Plain data, for what nvcc reads and for what it must not (its front
// end dies of the library's types).
#pragma once

#include <cstdint>

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

// kNoChain: the library has no algorithm that sums as the decode GEMM's chain does, and nothing was enqueued.
enum class LtAnswer : uint8_t { kDone, kNoChain, kFailed };

}  // namespace quire::kernels::cuda
