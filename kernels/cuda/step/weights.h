// Where a model's weights stand in device memory: pointers only, owned by whoever loaded them, unchanged
// while steps run. Matrices are bf16 [outputs, inputs], rows dense; vectors are fp32.
#pragma once

#include <cstdint>
#include <vector>

namespace quire::kernels::cuda {

struct LayerWeights {
  const float* attention_norm;  // [hidden]
  const uint16_t* qkv;          // [(query_heads + 2 kv_heads) * head_dim, hidden]: q, k, v
  const float* qkv_bias;
  const uint16_t* o;        // [hidden, query_heads * head_dim]
  const float* ffn_norm;    // [hidden]
  const uint16_t* gate_up;  // [2 ffn, hidden], gate first
  const uint16_t* down;     // [hidden, ffn]
};

struct StepWeights {
  const uint16_t* embedding = nullptr;  // [vocabulary, hidden]
  const uint16_t* lm_head = nullptr;    // the same
  const float* final_norm = nullptr;
  const float* rope_table = nullptr;  // [positions][cosines, then sines][head_dim / 2]
  int positions = 0;
  std::vector<LayerWeights> layers;
};

}  // namespace quire::kernels::cuda
