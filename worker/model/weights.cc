#include "worker/model/weights.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/int8_rows.h"
#include "worker/model/read_ahead.h"
#include "worker/model/rope.h"
#include "worker/model/stored_values.h"

namespace quire::worker {
namespace {

using kernels::HostMatrix;
using kernels::MatrixId;
using kernels::VectorId;

// What a disk reads while a matrix is packed.
constexpr int64_t kReadAheadBytes = int64_t{256} << 20;

// Of the matrix that has the most elements which aren't bf16 as they lie.
int64_t ConvertedElements(const Safetensors& files, const WeightPlan& plan) {
  int64_t most = 0;
  plan.ForEach([&](const auto& item) {
    if constexpr (std::is_same_v<decltype(item), const PlannedMatrix&>) {
      int64_t elements = 0;
      for (const TensorSlice& slice : item.parts) {
        const auto tensor = files.Find(slice.name);
        if (tensor.ok() && !IsBf16InPlace(*tensor)) elements += slice.elements();
      }
      most = std::max(most, elements);
    }
  });
  return most;
}

// Of the largest matrix in int8.
int64_t QuantizedBytes(const WeightPlan& plan) {
  int64_t most = 0;
  plan.ForEach([&](const auto& item) {
    if constexpr (std::is_same_v<decltype(item), const PlannedMatrix&>) {
      if (item.group > 0) most = std::max(most, item.bytes());
    }
  });
  return most;
}

// Carries what every step of loading needs; lives during LoadWeights only.
class Loader {
 public:
  Loader(const Safetensors& files, const WeightPlan& plan, double eps, kernels::Backend& backend,
         const LoadOptions& options, LoadedSoFar& loaded)
      : files_(files),
        plan_(plan),
        eps_(static_cast<float>(eps)),
        backend_(backend),
        options_(options),
        loaded_(loaded),
        converted_(std::make_unique_for_overwrite<uint16_t[]>(ConvertedElements(files, plan))),
        ahead_(ReadList(files.tensors(), plan, options.whole_rows), kReadAheadBytes,
               ReadAhead::AdviseKernel) {}

  absl::StatusOr<ModelWeights> Load() {
    ahead_.OnLoaded(0);
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
    uint16_t* converted = converted_.get();
    std::vector<HostMatrix> parts;
    std::vector<kernels::Int8Rows> quantized;
    for (const TensorSlice& slice : matrix.parts) {
      QUIRE_ASSIGN_OR_RETURN(const HostMatrix rows, Read(slice, converted));
      parts.push_back(rows);
      if (matrix.group == 0) continue;
      QUIRE_ASSIGN_OR_RETURN(quantized.emplace_back(), Quantize(slice, rows, matrix.group));
      parts.back() = quantized.back().matrix();  // whose numbers stay where they are
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

  // The slice as it lies in the file where that is aligned bf16, else converted, to where `converted` points.
  absl::StatusOr<HostMatrix> Read(const TensorSlice& slice, uint16_t*& converted) {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor tensor, files_.Find(slice.name));
    if (IsBf16InPlace(tensor)) {
      const int64_t first = slice.rows.begin * slice.shape[1] + slice.cols.begin;
      return HostMatrix{reinterpret_cast<const uint16_t*>(tensor.bytes.data()) + first, slice.rows.size(),
                        slice.shape[1]};
    }
    ConvertToBf16(tensor, slice, options_.threads, converted);
    const HostMatrix rows{converted, slice.rows.size(), slice.cols.size()};
    converted += slice.elements();
    return rows;
  }

  absl::StatusOr<kernels::Int8Rows> Quantize(const TensorSlice& slice, const HostMatrix& rows,
                                             int64_t group) {
    auto made = kernels::QuantizeRows(rows, slice.cols.size(), group, options_.threads);
    if (made.ok()) return made;
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", slice.name, " can't be kept as int8: of this rank's part, ",
                     MessageOf(made.status()), "; repair the checkpoint, or give --weights bf16"));
  }

  void Report(int64_t bytes) {
    loaded_.bytes += bytes;
    loaded_.read_bytes = ahead_.own_bytes(++loaded_items_);
    if (options_.progress) options_.progress(loaded_);
    ahead_.OnLoaded(loaded_items_);
  }

  const Safetensors& files_;
  const WeightPlan& plan_;
  const float eps_;  // of the norms
  kernels::Backend& backend_;
  const LoadOptions& options_;
  LoadedSoFar& loaded_;
  const std::unique_ptr<uint16_t[]> converted_;  // parts of the matrix being added
  ReadAhead ahead_;
  int64_t loaded_items_ = 0;
};

int64_t TableBytes(const ModelConfig& config, int64_t positions) {
  return positions * config.head_dim * int64_t{sizeof(float)};
}

}  // namespace

absl::StatusOr<ModelWeights> LoadWeights(const Safetensors& files, const ModelConfig& config,
                                         const WeightPlan& plan, const LoadOptions& options,
                                         kernels::Backend& backend) {
  QUIRE_RETURN_IF_ERROR(CheckWeights(files, plan));
  LoadedSoFar loaded{.total_bytes = plan.bytes() + RopeTableBytes(config, options.max_positions)};
  QUIRE_ASSIGN_OR_RETURN(ModelWeights weights,
                         Loader(files, plan, config.rms_eps, backend, options, loaded).Load());
  const auto add_rope = [&](const RopeScaling& scaling, int64_t context) -> absl::StatusOr<kernels::RopeId> {
    const RotaryFrequencies table = MakeRotaryFrequencies(scaling, config.rope_theta, config.head_dim);
    const int64_t positions = std::min(context, options.max_positions);
    QUIRE_ASSIGN_OR_RETURN(const kernels::RopeId id, backend.AddRope(table.inv_freq, table.scale, positions));
    loaded.bytes += TableBytes(config, positions);
    if (options.progress) options.progress(loaded);
    return id;
  };
  QUIRE_ASSIGN_OR_RETURN(weights.rope, add_rope(config.rope, config.plain_context));
  if (config.scaled_rope) {
    QUIRE_ASSIGN_OR_RETURN(weights.scaled_rope, add_rope(*config.scaled_rope, config.max_context));
  }
  return weights;
}

int64_t RopeTableBytes(const ModelConfig& config, int64_t max_positions) {
  int64_t positions = std::min(config.plain_context, max_positions);
  if (config.scaled_rope) positions += std::min(config.max_context, max_positions);
  return TableBytes(config, positions);
}

int64_t LoadBytes(const Safetensors& files, const WeightPlan& plan) {
  return ConvertedElements(files, plan) * int64_t{sizeof(uint16_t)} + QuantizedBytes(plan);
}

}  // namespace quire::worker
