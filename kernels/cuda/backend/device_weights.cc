#include "kernels/cuda/backend/device_weights.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "kernels/int8_rows.h"
#include "kernels/rope_values.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cuda {

absl::StatusOr<MatrixId> DeviceWeights::AddMatrix(Stream& stream, std::span<const HostMatrix> parts,
                                                  int64_t k, MatrixKind kind, int64_t leaves) {
  DeviceMatrix matrix;
  matrix.k = k;
  matrix.kind = kind;
  matrix.leaves = static_cast<int>(leaves);
  QUIRE_ASSIGN_OR_RETURN(matrix.rows, CheckMatrix(parts, k, kind, leaves));
  if (parts[0].format != MatrixFormat::kBf16) {
    return absl::InvalidArgumentError("weights are served in bf16 on a GPU: leave out --weights int8");
  }
  if (k % 8 != 0 || (kind == MatrixKind::kGateUp && matrix.rows % 16 != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("a matrix of ", matrix.rows, " rows of ", k,
                                                   " has no kernel on a GPU, where sizes are multiples of "
                                                   "8: serve this model with --backend cpu"));
  }
  matrix.weights = DeviceArray<uint16_t>(stream, matrix.rows * k);
  uint16_t* to = matrix.weights.data();
  if (to == nullptr) return absl::ResourceExhaustedError(stream.Synchronize());
  for (const HostMatrix& part : parts) {
    if (!stream_in_.Copy(stream, to, part.data, part.stride * 2, k * 2, part.rows)) {
      return absl::ResourceExhaustedError(stream.Synchronize());
    }
    to += part.rows * k;
  }
  bytes_ += MatrixBytes(matrix.rows, k, 0);
  if (leaves > 1) tree_columns_ = std::max(tree_columns_, matrix.rows);
  if (kind == MatrixKind::kGateUp) gate_up_columns_ = std::max(gate_up_columns_, matrix.rows);
  matrices_.push_back(std::move(matrix));
  return MatrixId(static_cast<int32_t>(matrices_.size() - 1));
}

absl::StatusOr<VectorId> DeviceWeights::AddVector(Stream& stream, std::span<const float> values) {
  if (values.empty()) return absl::InvalidArgumentError("a weight vector is empty");
  vectors_.emplace_back(stream, (values.size() + 7) / 8 * 8);
  if (vectors_.back().data() == nullptr) return absl::ResourceExhaustedError(stream.Synchronize());
  if (!stream_in_.Copy(stream, vectors_.back().data(), values.data(), values.size_bytes(),
                       values.size_bytes(), 1)) {
    return absl::ResourceExhaustedError(stream.Synchronize());
  }
  bytes_ += std::ssize(values) * 4;
  return VectorId(static_cast<int32_t>(vectors_.size() - 1));
}

absl::StatusOr<RopeId> DeviceWeights::AddRope(std::span<const double> inv_freq, double scale,
                                              int64_t max_positions) {
  QUIRE_RETURN_IF_ERROR(CheckRope(inv_freq, scale, max_positions));
  const int64_t half = std::ssize(inv_freq);
  if (rope_half_ != 0 && rope_half_ != half) {
    return absl::InvalidArgumentError("a model's rotary tables are of heads of one size");
  }
  rope_half_ = half;
  ropes_.push_back({rope_positions_, max_positions});
  const int64_t before = std::ssize(new_rope_values_);
  new_rope_values_.resize(before + max_positions * 2 * half);
  for (int64_t position = 0; position < max_positions; ++position) {
    FillRopeValues(inv_freq, scale, position, &new_rope_values_[before + position * 2 * half]);
  }
  rope_positions_ += max_positions;
  return RopeId(static_cast<int32_t>(ropes_.size() - 1));
}

bool DeviceWeights::UploadRopes(Stream& stream) {
  if (new_rope_values_.empty()) return false;
  std::vector<float> all = rope_table_.Download(stream, rope_table_.size());
  all.insert(all.end(), new_rope_values_.begin(), new_rope_values_.end());
  std::vector<float>().swap(new_rope_values_);
  rope_table_ = DeviceArray<float>(stream, all.size());
  if (rope_table_.data() != nullptr) rope_table_.Upload(stream, all, "values of the rotary tables");
  return true;
}

const DeviceMatrix& DeviceWeights::matrix(MatrixId id, const char* op) const {
  CheckOp(static_cast<size_t>(id) < matrices_.size(), op, "no such matrix");
  return matrices_[static_cast<size_t>(id)];
}

const DeviceMatrix& DeviceWeights::matrix(MatrixId id, MatrixKind kind, const char* op) const {
  const DeviceMatrix& found = matrix(id, op);
  CheckOp(found.kind == kind, op, "a matrix of another kind");
  return found;
}

const float* DeviceWeights::vector(VectorId id, int64_t size, const char* op) const {
  const auto at = static_cast<size_t>(id);
  CheckOp(at < vectors_.size() && vectors_[at].size() == static_cast<size_t>(size + 7) / 8 * 8, op,
          "the vector has another length");
  return vectors_[at].data();
}

}  // namespace quire::kernels::cuda
