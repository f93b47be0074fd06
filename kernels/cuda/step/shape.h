// The shape of a model of Qwen2's family on one device, and what a step of it reads. Plain values; any
// thread.
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

struct StepShape {
  int layers, hidden, query_heads, kv_heads, head_dim, ffn, vocabulary;
  float norm_eps, rope_theta;

  int Group() const { return query_heads / kv_heads; }
  int QWidth() const { return query_heads * head_dim; }
  int QkvWidth() const { return (query_heads + 2 * kv_heads) * head_dim; }
  int64_t LogitsStride() const { return (vocabulary + 63) / 64 * 64; }
  int64_t LayerMatrixElements() const {
    return int64_t{1} * hidden * QkvWidth() + int64_t{1} * QWidth() * hidden + int64_t{3} * hidden * ffn;
  }
  // Matrices that every step reads, in bf16: all layers' and lm_head.
  int64_t StepMatrixBytes() const { return 2 * (LayerMatrixElements() * layers + LmHeadElements()); }
  int64_t LmHeadElements() const { return int64_t{1} * vocabulary * hidden; }
  // Of all layers, in bf16.
  int64_t TokenKvBytes() const { return int64_t{4} * layers * kv_heads * head_dim; }
};

inline constexpr StepShape kQwq32bShape{
    .layers = 64,
    .hidden = 5120,
    .query_heads = 40,
    .kv_heads = 8,
    .head_dim = 128,
    .ffn = 27648,
    .vocabulary = 152064,
    .norm_eps = 1e-5f,
    .rope_theta = 1e6f,
};
// Every kernel in it, in a moment: leaves of unequal length, a vocabulary that fills no tile.
inline constexpr StepShape kTinyShape{
    .layers = 2,
    .hidden = 256,
    .query_heads = 6,
    .kv_heads = 2,
    .head_dim = 64,
    .ffn = 416,
    .vocabulary = 331,
    .norm_eps = 1e-5f,
    .rope_theta = 1e4f,
};

}  // namespace quire::kernels::cuda
