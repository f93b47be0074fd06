// Where K and V stand in a layer's pages: [block][KV head][K, then V][16 positions][head_dim], bf16. A block
// of one head is 4 KiB of K and 4 KiB of V at head_dim 128, each read in one piece. Host and device code.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_plan.h"

namespace quire::kernels::cuda {

// Of K of the block's first position; V stands kPageKeys * head_dim further on.
QUIRE_HOST_DEVICE int64_t PageOffset(int block, int kv_heads, int head, int head_dim) {
  return (static_cast<int64_t>(block) * kv_heads + head) * (2 * kPageKeys) * head_dim;
}

}  // namespace quire::kernels::cuda
