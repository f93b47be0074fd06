// Loads one rank's slices of a checkpoint into its Backend, in execution order (which the CPU backend
// prefetches along), and keeps the handles. A rank touches only the bytes of its own slices. Used once, by
// the engine thread, before the first step.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "worker/model/model_config.h"
#include "worker/model/safetensors.h"
#include "worker/model/shard.h"

namespace quire::worker {

struct LayerWeights {
  kernels::VectorId input_norm{};
  kernels::MatrixId qkv{};  // this rank's rows of q, k and v, stacked
  kernels::VectorId qkv_bias = kernels::kNoBias;
  kernels::MatrixId o{};
  kernels::VectorId post_attention_norm{};
  kernels::MatrixId gate_up{};
  kernels::MatrixId down{};
};

struct ModelWeights {
  kernels::MatrixId embedding{};  // this rank's vocabulary rows; the same handle as lm_head where tied
  std::vector<LayerWeights> layers;
  kernels::VectorId final_norm{};
  kernels::MatrixId lm_head{};
  kernels::RopeId rope{};
  std::optional<kernels::RopeId> scaled_rope;
};

using LoadProgress = std::function<void(int64_t loaded_bytes, int64_t total_bytes)>;

absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const Shard& shard, kernels::Backend& backend,
                                         const LoadProgress& progress = nullptr);

// What LoadWeights will put into the backend: matrices in bf16, norms and biases in fp32.
int64_t ShardWeightBytes(const ModelConfig& config, const Shard& shard);

}  // namespace quire::worker
