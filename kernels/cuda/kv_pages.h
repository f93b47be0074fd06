// Where K and V stand in a layer's pages: [block][KV head][K, then V][16 positions][head_dim], bf16. A block
// of one head is 4 KiB of K and 4 KiB of V at head_dim 128, each read in one piece. Plain C++, for the host
// and (nvcc's --expt-relaxed-constexpr) the device.
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

inline constexpr int kPageKeys = 16;  // quire::kBlockTokens

// Of K of the block's first position; V stands kPageKeys * head_dim further on.
constexpr int64_t PageOffset(int block, int kv_heads, int head, int head_dim) {
  return (static_cast<int64_t>(block) * kv_heads + head) * (2 * kPageKeys) * head_dim;
}

}  // namespace quire::kernels::cuda
