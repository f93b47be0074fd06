// Loads a WeightPlan (one rank's slices of a checkpoint) into its Backend, in the plan's order, which is
// execution order (the CPU backend prefetches along it), and keeps the handles. A rank touches only the bytes
// of its own slices. Used once, by the engine thread, before the first step.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "worker/model/model_config.h"
#include "worker/model/safetensors.h"
#include "worker/model/weight_plan.h"

namespace quire::worker {

struct LayerWeights {
  kernels::VectorId input_norm{};
  kernels::MatrixId qkv{};  // this rank's rows of q, k and v, stacked
  kernels::VectorId qkv_bias = kernels::kNoBias;
  kernels::HeadNorms head_norms;
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

// `max_positions`: what any sequence can reach (the KV cache's size); the rotary tables end there, or with
// the context. Fails as CheckWeights does, before anything is loaded.
absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const WeightPlan& plan, int64_t max_positions,
                                         kernels::Backend& backend, const LoadProgress& progress = nullptr);

// Of the rotary tables that LoadWeights makes.
int64_t RopeTableBytes(const ModelConfig& config, int64_t max_positions);

}  // namespace quire::worker
