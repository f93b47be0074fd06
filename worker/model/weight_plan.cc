#include "worker/model/weight_plan.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/core/status.h"
#include "kernels/int8_rows.h"

namespace quire::worker {
namespace {

using kernels::MatrixKind;

Range Whole(int64_t size) { return {0, size}; }

int64_t Elements(const std::vector<TensorSlice>& parts) {
  int64_t elements = 0;
  for (const TensorSlice& part : parts) elements += part.elements();
  return elements;
}

TensorSlice Matrix(std::string name, Range rows, int64_t stored_rows, Range cols, int64_t stored_cols) {
  return {std::move(name), {stored_rows, stored_cols}, rows, cols};
}

TensorSlice Vector(std::string name, Range range, int64_t stored_size) {
  return {std::move(name), {stored_size}, range, Whole(1)};
}

struct Planner {
  const ModelConfig& config;
  const Shard& shard;

  Range Heads(Range heads) const { return {heads.begin * config.head_dim, heads.end * config.head_dim}; }

  PlannedVector Norm(const std::string& name, int64_t size) const {
    return {{Vector(name, Whole(size), size)}};
  }

  // Of a layer, by its k and leaves.
  int64_t Group(int64_t k, int64_t leaves) const {
    return config.weights == kernels::MatrixFormat::kInt8 ? kernels::Int8GroupOf(k, leaves) : 0;
  }

  PlannedMatrix Vocabulary(const std::string& name) const {
    return {{Matrix(name, shard.vocab, config.vocab, Whole(config.hidden), config.hidden)}};
  }

  void Attention(const std::string& prefix, LayerPlan& layer) const {
    const Range q = Heads(shard.query_heads), kv = Heads(shard.kv_heads), hidden = Whole(config.hidden);
    const int64_t q_rows = config.query_heads * config.head_dim, kv_rows = config.kv_heads * config.head_dim;
    layer.qkv = {{Matrix(prefix + "q_proj.weight", q, q_rows, hidden, config.hidden),
                  Matrix(prefix + "k_proj.weight", kv, kv_rows, hidden, config.hidden),
                  Matrix(prefix + "v_proj.weight", kv, kv_rows, hidden, config.hidden)}};
    layer.qkv.group = Group(config.hidden, 1);
    if (config.architecture.qkv_bias) {
      layer.qkv_bias = {{Vector(prefix + "q_proj.bias", q, q_rows),
                         Vector(prefix + "k_proj.bias", kv, kv_rows),
                         Vector(prefix + "v_proj.bias", kv, kv_rows)}};
    }
    if (config.architecture.head_norms) {
      layer.q_norm = Norm(prefix + "q_norm.weight", config.head_dim);
      layer.k_norm = Norm(prefix + "k_norm.weight", config.head_dim);
    }
    layer.o = {{Matrix(prefix + "o_proj.weight", hidden, config.hidden, q, q_rows)},
               MatrixKind::kPlain,
               shard.leaves,
               Group(q.size(), shard.leaves)};
  }

  void FeedForward(const std::string& prefix, LayerPlan& layer) const {
    const Range hidden = Whole(config.hidden);
    layer.gate_up = {{Matrix(prefix + "gate_proj.weight", shard.ffn, config.ffn, hidden, config.hidden),
                      Matrix(prefix + "up_proj.weight", shard.ffn, config.ffn, hidden, config.hidden)},
                     MatrixKind::kGateUp,
                     1,
                     Group(config.hidden, 1)};
    layer.down = {{Matrix(prefix + "down_proj.weight", hidden, config.hidden, shard.ffn, config.ffn)},
                  MatrixKind::kPlain,
                  shard.leaves,
                  Group(shard.ffn.size(), shard.leaves)};
  }

  LayerPlan Layer(int64_t index) const {
    const std::string prefix = absl::StrCat("model.layers.", index, ".");
    LayerPlan layer;
    layer.input_norm = Norm(prefix + "input_layernorm.weight", config.hidden);
    Attention(prefix + "self_attn.", layer);
    layer.post_attention_norm = Norm(prefix + "post_attention_layernorm.weight", config.hidden);
    FeedForward(prefix + "mlp.", layer);
    return layer;
  }
};

std::string Shape(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::Status CheckTensor(const Safetensors& files, const TensorSlice& slice) {
  QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor, files.Find(slice.name));
  if (tensor.shape != slice.shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", slice.name, " has the shape ",
                                                   Shape(tensor.shape), "; by config.json it has to be ",
                                                   Shape(slice.shape)));
  }
  if (tensor.type == StoredType::kOther) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", slice.name, " is stored neither as BF16, F16 nor F32"));
  }
  return absl::OkStatus();
}

// Old Llama checkpoints hold frequencies that everybody computes.
bool MayBeIgnored(const std::string& name) {
  return !absl::StartsWith(name, "model.layers.") || absl::EndsWith(name, ".rotary_emb.inv_freq");
}

}  // namespace

int64_t PlannedMatrix::bytes() const {
  if (parts.empty()) return 0;
  const int64_t k = parts[0].cols.size();
  return kernels::MatrixBytes(Elements(parts) / k, k, group);
}
int64_t PlannedVector::bytes() const { return Elements(parts) * 4; }

int64_t WeightPlan::bytes() const {
  int64_t total = 0;
  ForEach([&](const auto& planned) { total += planned.bytes(); });
  return total;
}

WeightPlan PlanWeights(const ModelConfig& config, const Shard& shard) {
  const Planner planner{config, shard};
  WeightPlan plan;
  if (!config.tied_embeddings) plan.embedding = planner.Vocabulary("model.embed_tokens.weight");
  for (int64_t layer = 0; layer < config.layers; ++layer) plan.layers.push_back(planner.Layer(layer));
  plan.final_norm = planner.Norm("model.norm.weight", config.hidden);
  plan.lm_head = planner.Vocabulary(config.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  return plan;
}

std::string WeightsName(const ModelConfig& config) {
  if (config.weights == kernels::MatrixFormat::kBf16) return "bf16";
  // By the leaves of all ranks together; where they don't share out leaves, SumsName says how many they are.
  const int64_t leaves = CountLeaves(config);
  return absl::StrCat(kernels::kInt8Name, "-g", kernels::Int8GroupOf(config.hidden, 1), ".",
                      kernels::Int8GroupOf(config.query_heads * config.head_dim, leaves), ".",
                      kernels::Int8GroupOf(config.ffn, leaves));
}

absl::Status CheckWeights(const Safetensors& files, const WeightPlan& plan) {
  absl::Status status;
  absl::flat_hash_set<std::string> used;
  plan.ForEach([&](const auto& planned) {
    for (const TensorSlice& slice : planned.parts) {
      used.insert(slice.name);
      status.Update(CheckTensor(files, slice));
    }
  });
  QUIRE_RETURN_IF_ERROR(status);
  for (const auto& [name, tensor] : files.tensors()) {
    if (!used.contains(name) && !MayBeIgnored(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name,
                       " is no part of the model that config.json describes; without it answers would be "
                       "wrong: the architecture or the number of layers does not fit this checkpoint"));
    }
  }
  return absl::OkStatus();
}

}  // namespace quire::worker
