// Loads a WeightPlan (one rank's slices of a checkpoint) into its Backend, in the plan's order, which is
// execution order (the CPU backend prefetches along it), and keeps the handles. A rank touches only the bytes
// of its own slices, and reads little more than their pages (read_list.h). Used once, by the engine thread,
// before the first step.
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

struct LoadedSoFar {
  int64_t bytes = 0, total_bytes = 0;  // in the backend: of the weights, then of the rotary tables
  int64_t read_bytes = 0;              // of the files, of this rank's slices
};
using LoadProgress = std::function<void(const LoadedSoFar&)>;

struct LoadOptions {
  // What any sequence can reach (the KV cache's size); the rotary tables end there, or with the context.
  int64_t max_positions = 0;
  int threads = 1;          // that convert what isn't bf16, and make it int8
  bool whole_rows = false;  // ReadList's: all ranks load from one disk
  LoadProgress progress = nullptr;
};

// Fails as CheckWeights does, before anything is loaded; and where a number that becomes int8 is not finite,
// naming its tensor.
absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const WeightPlan& plan, const LoadOptions& options,
                                         kernels::Backend& backend);

// The most that LoadWeights holds beside what it gives to the backend: a matrix that isn't bf16 in the files,
// and one that becomes int8.
int64_t LoadBytes(const Safetensors& files, const WeightPlan& plan);

// Of the rotary tables that LoadWeights makes.
int64_t RopeTableBytes(const ModelConfig& config, int64_t max_positions);

}  // namespace quire::worker
