// A product that cuBLASLt is asked for. Plain data, for what nvcc reads and for what it must not (its front
// end dies of the library's types).
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

// y[m, n] = x[m, k] * weights[n, k]^T, bf16 in. With leaves L > 1: L products at once, each of the next k of
// rows that are L * k long; their results stand m * y_stride apart.
struct LtShape {
  int m = 0, n = 0, k = 0, leaves = 1;
  bool y_is_bf16 = true;  // else fp32
  int64_t y_stride = 0;   // between rows
  auto operator<=>(const LtShape&) const = default;
};

struct LtProduct {
  const void *weights, *x;
  void* y;
  LtShape shape;
};

// kNoChain: the library has no algorithm that sums as the decode GEMM's chain does, and nothing was enqueued.
enum class LtAnswer : uint8_t { kDone, kNoChain, kFailed };

}  // namespace quire::kernels::cuda
