// What one rank takes of a checkpoint: one table of tensors, in execution order, from which sizing
// (WeightPlan::bytes), the check before loading (CheckWeights) and loading (weights.h) all follow, so that
// they can't disagree. Pure values; made by PlanWeights from the config and the rank's shard.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "worker/model/model_config.h"
#include "worker/model/safetensors.h"
#include "worker/model/shard.h"

namespace quire::worker {

// A rank's part of a stored tensor. A vector's columns are {0, 1}.
struct TensorSlice {
  std::string name;
  std::vector<int64_t> shape;  // as stored: {rows, cols}, or {size} of a vector
  Range rows, cols;
  int64_t elements() const { return rows.size() * cols.size(); }
};

// Slices stacked by rows into one matrix of the backend.
struct PlannedMatrix {
  std::vector<TensorSlice> parts;  // empty: there is none
  kernels::MatrixKind kind = kernels::MatrixKind::kPlain;
  int64_t leaves = 1;  // of its sums over k
  int64_t group = 0;   // of int8 (kernels/int8_rows.h); 0: in bf16
  int64_t bytes() const;
};

// Slices one after another, in fp32.
struct PlannedVector {
  std::vector<TensorSlice> parts;  // empty: there is none
  int64_t bytes() const;
};

struct LayerPlan {
  PlannedVector input_norm;
  PlannedMatrix qkv;  // q, k and v, stacked
  PlannedVector qkv_bias;
  PlannedVector q_norm, k_norm;  // of one head; whole on every rank
  PlannedMatrix o;
  PlannedVector post_attention_norm;
  PlannedMatrix gate_up, down;
};

struct WeightPlan {
  PlannedMatrix embedding;  // none where tied: lm_head serves for both
  std::vector<LayerPlan> layers;
  PlannedVector final_norm;
  PlannedMatrix lm_head;

  // Calls visit(PlannedMatrix or PlannedVector) for each in execution order.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    visit(embedding);
    for (const LayerPlan& layer : layers) {
      visit(layer.input_norm);
      visit(layer.qkv);
      visit(layer.qkv_bias);
      visit(layer.q_norm);
      visit(layer.k_norm);
      visit(layer.o);
      visit(layer.post_attention_norm);
      visit(layer.gate_up);
      visit(layer.down);
    }
    visit(final_norm);
    visit(lm_head);
  }

  // Of the weights in the backend, padding not counted.
  int64_t bytes() const;
};

// Where config.weights says int8, so are a layer's matrices whose leaves are whole groups. The embedding and
// lm_head stay in bf16: lm_head's part of the reading is small where it matters, and in int8 it would add a
// quarter to how far answers are off (docs/OPERATIONS.md has the figures).
WeightPlan PlanWeights(const ModelConfig& config, const Shard& shard);

// Names what the matrices are kept as, for numerics_id: equal names of one model and SumsName are equal bits.
std::string WeightsName(const ModelConfig& config);

// That loading will find every tensor of the plan, of the shape that config.json says and of a type that can
// be a weight, and that no tensor of a layer would be ignored. Reads headers only. The message names the
// tensor, what it is and what it has to be.
absl::Status CheckWeights(const Safetensors& files, const WeightPlan& plan);

}  // namespace quire::worker
