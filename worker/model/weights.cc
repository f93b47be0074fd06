#include "worker/model/weights.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>

#include "base/core/status.h"
#include "kernels/bf16.h"
#include "worker/model/read_ahead.h"
#include "worker/model/rope.h"

namespace quire::worker {
namespace {

using kernels::HostRows;
using kernels::MatrixId;
using kernels::VectorId;

// A disk's queue stays full while a matrix is packed.
constexpr int64_t kReadAheadBytes = int64_t{256} << 20;

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

// Carries what every step of loading needs; lives during LoadWeights only.
class Loader {
 public:
  Loader(const Safetensors& files, const WeightPlan& plan, double eps, kernels::Backend& backend,
         const LoadProgress& progress)
      : files_(files),
        plan_(plan),
        eps_(static_cast<float>(eps)),
        backend_(backend),
        progress_(progress),
        total_bytes_(plan.bytes()),
        ahead_(files, plan, kReadAheadBytes, ReadAhead::AdviseKernel) {}

  absl::StatusOr<ModelWeights> Load() {
    ModelWeights weights;
    const bool tied = plan_.embedding.parts.empty();
    if (!tied) {
      QUIRE_ASSIGN_OR_RETURN(weights.embedding, Add(plan_.embedding));
    }
    for (const LayerPlan& layer : plan_.layers) {
      QUIRE_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(layer));
      weights.layers.push_back(loaded);
    }
    QUIRE_ASSIGN_OR_RETURN(weights.final_norm, Add(plan_.final_norm));
    QUIRE_ASSIGN_OR_RETURN(weights.lm_head, Add(plan_.lm_head));
    if (tied) weights.embedding = weights.lm_head;
    return weights;
  }

 private:
  absl::StatusOr<LayerWeights> LoadLayer(const LayerPlan& plan) {
    LayerWeights layer;
    QUIRE_ASSIGN_OR_RETURN(layer.input_norm, Add(plan.input_norm));
    QUIRE_ASSIGN_OR_RETURN(layer.qkv, Add(plan.qkv));
    if (!plan.qkv_bias.parts.empty()) {
      QUIRE_ASSIGN_OR_RETURN(layer.qkv_bias, Add(plan.qkv_bias));
    }
    if (!plan.q_norm.parts.empty()) {
      QUIRE_ASSIGN_OR_RETURN(layer.head_norms.q, Add(plan.q_norm));
      QUIRE_ASSIGN_OR_RETURN(layer.head_norms.k, Add(plan.k_norm));
      layer.head_norms.eps = eps_;
    }
    QUIRE_ASSIGN_OR_RETURN(layer.o, Add(plan.o));
    QUIRE_ASSIGN_OR_RETURN(layer.post_attention_norm, Add(plan.post_attention_norm));
    QUIRE_ASSIGN_OR_RETURN(layer.gate_up, Add(plan.gate_up));
    QUIRE_ASSIGN_OR_RETURN(layer.down, Add(plan.down));
    return layer;
  }

  absl::StatusOr<MatrixId> Add(const PlannedMatrix& matrix) {
    converted_.clear();
    std::vector<HostRows> parts;
    for (const TensorSlice& slice : matrix.parts) {
      QUIRE_ASSIGN_OR_RETURN(const HostRows rows, Read(slice));
      parts.push_back(rows);
    }
    QUIRE_ASSIGN_OR_RETURN(const MatrixId id, backend_.AddMatrix(parts, matrix.parts[0].cols.size(),
                                                                 matrix.kind, matrix.leaves));
    Report(matrix.bytes());
    return id;
  }

  absl::StatusOr<VectorId> Add(const PlannedVector& vector) {
    std::vector<float> values;
    for (const TensorSlice& slice : vector.parts) {
      QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor, files_.Find(slice.name));
      for (int64_t i = slice.rows.begin; i < slice.rows.end; ++i) values.push_back(ElementAt(tensor, i));
    }
    QUIRE_ASSIGN_OR_RETURN(const VectorId id, backend_.AddVector(values));
    Report(vector.bytes());
    return id;
  }

  // The slice as it lies in the file where that is aligned bf16, else converted.
  absl::StatusOr<HostRows> Read(const TensorSlice& slice) {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor, files_.Find(slice.name));
    const int64_t stored_cols = slice.shape[1], first = slice.rows.begin * stored_cols + slice.cols.begin;
    if (tensor.type == StoredType::kBf16 && reinterpret_cast<uintptr_t>(tensor.bytes.data()) % 2 == 0) {
      return HostRows{reinterpret_cast<const uint16_t*>(tensor.bytes.data()) + first, slice.rows.size(),
                      stored_cols};
    }
    std::vector<uint16_t>& values = converted_.emplace_back();
    values.reserve(static_cast<size_t>(slice.elements()));
    for (int64_t row = 0; row < slice.rows.size(); ++row) {
      for (int64_t col = 0; col < slice.cols.size(); ++col) {
        values.push_back(kernels::FloatToBf16(ElementAt(tensor, first + row * stored_cols + col)));
      }
    }
    return HostRows{values.data(), slice.rows.size(), slice.cols.size()};
  }

  void Report(int64_t bytes) {
    loaded_bytes_ += bytes;
    ahead_.OnLoaded(++loaded_items_);
    if (progress_) progress_(loaded_bytes_, total_bytes_);
  }

  const Safetensors& files_;
  const WeightPlan& plan_;
  const float eps_;  // of the norms
  kernels::Backend& backend_;
  const LoadProgress& progress_;
  const int64_t total_bytes_;
  ReadAhead ahead_;
  int64_t loaded_bytes_ = 0, loaded_items_ = 0;
  std::deque<std::vector<uint16_t>> converted_;  // parts of the matrix being added
};

absl::StatusOr<kernels::RopeId> AddRope(const ModelConfig& config, const RopeScaling& scaling,
                                        int64_t positions, kernels::Backend& backend) {
  const RotaryFrequencies table = MakeRotaryFrequencies(scaling, config.rope_theta, config.head_dim);
  return backend.AddRope(table.inv_freq, table.scale, positions);
}

}  // namespace

absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const WeightPlan& plan, int64_t max_positions,
                                         kernels::Backend& backend, const LoadProgress& progress) {
  QUIRE_RETURN_IF_ERROR(CheckWeights(files, plan));
  QUIRE_ASSIGN_OR_RETURN(ModelWeights weights, Loader(files, plan, config.rms_eps, backend, progress).Load());
  QUIRE_ASSIGN_OR_RETURN(
      weights.rope, AddRope(config, config.rope, std::min(config.plain_context, max_positions), backend));
  if (config.scaled_rope) {
    QUIRE_ASSIGN_OR_RETURN(
        weights.scaled_rope,
        AddRope(config, *config.scaled_rope, std::min(config.max_context, max_positions), backend));
  }
  return weights;
}

int64_t RopeTableBytes(const ModelConfig& config, int64_t max_positions) {
  int64_t positions = std::min(config.plain_context, max_positions);
  if (config.scaled_rope) positions += std::min(config.max_context, max_positions);
  return positions * config.head_dim * int64_t{sizeof(float)};
}

}  // namespace quire::worker
