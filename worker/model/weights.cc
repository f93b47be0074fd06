#include "worker/model/weights.h"

#include <bit>
#include <cstring>
#include <deque>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/bf16.h"
#include "worker/model/rope.h"

namespace quire::worker {
namespace {

using kernels::HostRows;
using kernels::MatrixId;
using kernels::MatrixKind;
using kernels::VectorId;

float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  const uint32_t wide = exponent == 0x1F ? 0xFF : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

int64_t ElementBytes(StoredType type) { return type == StoredType::kF32 ? 4 : 2; }

float ElementAt(const StoredTensor& tensor, int64_t index) {
  const uint8_t* at = tensor.bytes.data() + index * ElementBytes(tensor.type);
  if (tensor.type == StoredType::kF32) {
    float value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));
  return tensor.type == StoredType::kF16 ? HalfToFloat(bits) : kernels::Bf16ToFloat(bits);
}

// A slice of a stored matrix.
struct Slice {
  std::string name;
  Range rows, cols;
  int64_t stored_rows = 0, stored_cols = 0;
};

// Carries what every step of loading needs; lives during LoadWeights only.
class Loader {
 public:
  Loader(const Safetensors& files, const ModelConfig& config, const Shard& shard, kernels::Backend& backend,
         const LoadProgress& progress)
      : files_(files),
        config_(config),
        shard_(shard),
        backend_(backend),
        progress_(progress),
        total_bytes_(ShardWeightBytes(config, shard)) {}

  absl::StatusOr<ModelWeights> Load() {
    ModelWeights weights;
    if (!config_.tied_embeddings) {
      QUIRE_ASSIGN_OR_RETURN(weights.embedding, AddVocabulary("model.embed_tokens.weight"));
    }
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      QUIRE_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(absl::StrCat("model.layers.", layer, ".")));
      weights.layers.push_back(loaded);
    }
    QUIRE_ASSIGN_OR_RETURN(weights.final_norm, AddVector({{"model.norm.weight", Whole(config_.hidden)}}));
    QUIRE_ASSIGN_OR_RETURN(
        weights.lm_head,
        AddVocabulary(config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight"));
    if (config_.tied_embeddings) weights.embedding = weights.lm_head;
    QUIRE_ASSIGN_OR_RETURN(weights.rope, AddRope(config_.rope, config_.plain_context));
    if (config_.scaled_rope) {
      QUIRE_ASSIGN_OR_RETURN(weights.scaled_rope, AddRope(*config_.scaled_rope, config_.max_context));
    }
    return weights;
  }

 private:
  struct VectorSlice {
    std::string name;
    Range range;
    int64_t stored_size = 0;  // 0 = the range's end
  };

  static Range Whole(int64_t size) { return {0, size}; }
  Range Heads(Range heads) const { return {heads.begin * config_.head_dim, heads.end * config_.head_dim}; }

  absl::StatusOr<LayerWeights> LoadLayer(const std::string& prefix) {
    const int64_t hidden = config_.hidden, q_rows = config_.query_heads * config_.head_dim;
    LayerWeights layer;
    QUIRE_ASSIGN_OR_RETURN(layer.input_norm, AddVector({{prefix + "input_layernorm.weight", Whole(hidden)}}));
    QUIRE_RETURN_IF_ERROR(LoadQkv(prefix + "self_attn.", layer));
    QUIRE_ASSIGN_OR_RETURN(layer.o, AddMatrix({{prefix + "self_attn.o_proj.weight", Whole(hidden),
                                                Heads(shard_.query_heads), hidden, q_rows}},
                                              MatrixKind::kPlain));
    QUIRE_ASSIGN_OR_RETURN(layer.post_attention_norm,
                           AddVector({{prefix + "post_attention_layernorm.weight", Whole(hidden)}}));
    const auto ffn_rows = [&](const char* name) {
      return Slice{absl::StrCat(prefix, "mlp.", name, ".weight"), shard_.ffn, Whole(hidden), config_.ffn,
                   hidden};
    };
    QUIRE_ASSIGN_OR_RETURN(layer.gate_up,
                           AddMatrix({ffn_rows("gate_proj"), ffn_rows("up_proj")}, MatrixKind::kGateUp));
    QUIRE_ASSIGN_OR_RETURN(
        layer.down,
        AddMatrix({{prefix + "mlp.down_proj.weight", Whole(hidden), shard_.ffn, hidden, config_.ffn}},
                  MatrixKind::kPlain));
    return layer;
  }

  absl::Status LoadQkv(const std::string& prefix, LayerWeights& layer) {
    const int64_t q_rows = config_.query_heads * config_.head_dim,
                  kv_rows = config_.kv_heads * config_.head_dim;
    const Range q = Heads(shard_.query_heads), kv = Heads(shard_.kv_heads), k = Whole(config_.hidden);
    QUIRE_ASSIGN_OR_RETURN(layer.qkv, AddMatrix({{prefix + "q_proj.weight", q, k, q_rows, config_.hidden},
                                                 {prefix + "k_proj.weight", kv, k, kv_rows, config_.hidden},
                                                 {prefix + "v_proj.weight", kv, k, kv_rows, config_.hidden}},
                                                MatrixKind::kPlain));
    if (config_.qkv_bias) {
      QUIRE_ASSIGN_OR_RETURN(layer.qkv_bias, AddVector({{prefix + "q_proj.bias", q, q_rows},
                                                        {prefix + "k_proj.bias", kv, kv_rows},
                                                        {prefix + "v_proj.bias", kv, kv_rows}}));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<MatrixId> AddVocabulary(const std::string& name) {
    return AddMatrix({{name, shard_.vocab, Whole(config_.hidden), config_.vocab, config_.hidden}},
                     MatrixKind::kPlain);
  }

  absl::StatusOr<MatrixId> AddMatrix(const std::vector<Slice>& slices, MatrixKind kind) {
    converted_.clear();
    std::vector<HostRows> parts;
    int64_t bytes = 0;
    for (const Slice& slice : slices) {
      QUIRE_ASSIGN_OR_RETURN(const HostRows rows, Read(slice));
      parts.push_back(rows);
      bytes += slice.rows.size() * slice.cols.size() * 2;
    }
    QUIRE_ASSIGN_OR_RETURN(const MatrixId id, backend_.AddMatrix(parts, slices[0].cols.size(), kind));
    Report(bytes);
    return id;
  }

  absl::StatusOr<VectorId> AddVector(const std::vector<VectorSlice>& slices) {
    std::vector<float> values;
    for (const VectorSlice& slice : slices) {
      const int64_t stored = slice.stored_size != 0 ? slice.stored_size : slice.range.end;
      QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor, FindWeight(slice.name, {stored}));
      for (int64_t i = slice.range.begin; i < slice.range.end; ++i) values.push_back(ElementAt(tensor, i));
    }
    QUIRE_ASSIGN_OR_RETURN(const VectorId id, backend_.AddVector(values));
    Report(static_cast<int64_t>(values.size() * sizeof(float)));
    return id;
  }

  absl::StatusOr<kernels::RopeId> AddRope(const RopeScaling& scaling, int64_t positions) {
    const RopeTable table = MakeRopeTable(scaling, config_.rope_theta, config_.head_dim);
    return backend_.AddRope(table.inv_freq, table.scale, positions);
  }

  absl::StatusOr<StoredTensor> FindWeight(const std::string& name, const std::vector<int64_t>& shape) {
    QUIRE_ASSIGN_OR_RETURN(StoredTensor tensor, files_.Find(name));
    if (tensor.shape != shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, " does not have the shape that config.json says"));
    }
    if (tensor.type == StoredType::kOther) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, " is stored neither as BF16, F16 nor F32"));
    }
    return tensor;
  }

  // The slice as it lies in the file where that is aligned bf16, else converted.
  absl::StatusOr<HostRows> Read(const Slice& slice) {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor,
                           FindWeight(slice.name, {slice.stored_rows, slice.stored_cols}));
    const int64_t first = slice.rows.begin * slice.stored_cols + slice.cols.begin;
    if (tensor.type == StoredType::kBf16 && reinterpret_cast<uintptr_t>(tensor.bytes.data()) % 2 == 0) {
      return HostRows{reinterpret_cast<const uint16_t*>(tensor.bytes.data()) + first, slice.rows.size(),
                      slice.stored_cols};
    }
    std::vector<uint16_t>& values = converted_.emplace_back();
    values.reserve(slice.rows.size() * slice.cols.size());
    for (int64_t row = 0; row < slice.rows.size(); ++row) {
      for (int64_t col = 0; col < slice.cols.size(); ++col) {
        values.push_back(kernels::FloatToBf16(ElementAt(tensor, first + row * slice.stored_cols + col)));
      }
    }
    return HostRows{values.data(), slice.rows.size(), slice.cols.size()};
  }

  void Report(int64_t bytes) {
    loaded_bytes_ += bytes;
    if (progress_) progress_(loaded_bytes_, total_bytes_);
  }

  const Safetensors& files_;
  const ModelConfig& config_;
  const Shard& shard_;
  kernels::Backend& backend_;
  const LoadProgress& progress_;
  const int64_t total_bytes_;
  int64_t loaded_bytes_ = 0;
  std::deque<std::vector<uint16_t>> converted_;  // parts of the matrix being added
};

}  // namespace

absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const Shard& shard, kernels::Backend& backend,
                                         const LoadProgress& progress) {
  return Loader(files, config, shard, backend, progress).Load();
}

int64_t ShardWeightBytes(const ModelConfig& config, const Shard& shard) {
  const int64_t q = shard.query_heads.size() * config.head_dim, kv = shard.kv_heads.size() * config.head_dim;
  const int64_t layer_matrices = config.hidden * (2 * q + 2 * kv + 3 * shard.ffn.size());
  const int64_t layer_vectors = 2 * config.hidden + (config.qkv_bias ? q + 2 * kv : 0);
  const int64_t vocabulary = config.hidden * shard.vocab.size() * (config.tied_embeddings ? 1 : 2);
  return 2 * (config.layers * layer_matrices + vocabulary) +
         4 * (config.layers * layer_vectors + config.hidden);
}

}  // namespace quire::worker
