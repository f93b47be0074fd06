// A model's weights and rotary tables in device memory. Owned by the CUDA backend and filled by its thread
// at load; unchanged while steps run, but for ropes, which stand in one table from UploadRopes on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/backend/weight_stream.h"
#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {

struct DeviceMatrix {
  DeviceArray<uint16_t> weights;  // [rows, k], dense
  int64_t rows = 0, k = 0;
  MatrixKind kind = MatrixKind::kPlain;
  int leaves = 1;
};

// Where a rope's table stands among all ropes' rows.
struct RopeRows {
  int64_t first = 0, positions = 0;
};

class DeviceWeights {
 public:
  // threads: that read what is added.
  explicit DeviceWeights(int threads) : stream_in_(threads) {}

  // As the Backend's. InvalidArgument for shapes without kernels, ResourceExhausted where there is no room.
  // What is added stands on the device once the stream has passed.
  absl::StatusOr<MatrixId> AddMatrix(Stream& stream, std::span<const HostMatrix> parts, int64_t k,
                                     MatrixKind kind, int64_t leaves);
  absl::StatusOr<VectorId> AddVector(Stream& stream, std::span<const float> values);
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale, int64_t max_positions);
  // All is added: gives pinned memory back.
  void EndLoading(Stream& stream) { stream_in_.End(stream); }
  // False where all of them stand there already; else the table is at another place than before.
  bool UploadRopes(Stream& stream);

  const DeviceMatrix& matrix(MatrixId id, const char* op) const;
  const DeviceMatrix& matrix(MatrixId id, MatrixKind kind, const char* op) const;
  const float* vector(VectorId id, int64_t size, const char* op) const;
  const float* rope_table() const { return rope_table_.data(); }
  std::span<const RopeRows> ropes() const { return ropes_; }
  int64_t bytes() const { return bytes_; }
  // The most rows of any matrix of these kinds.
  int64_t gate_up_columns() const { return gate_up_columns_; }
  int64_t tree_columns() const { return tree_columns_; }

 private:
  WeightStream stream_in_;
  std::vector<DeviceMatrix> matrices_;
  std::vector<DeviceArray<float>> vectors_;
  std::vector<float> new_rope_values_;  // not yet in rope_table_
  std::vector<RopeRows> ropes_;
  int64_t rope_half_ = 0, rope_positions_ = 0;
  DeviceArray<float> rope_table_;  // of all ropes
  int64_t bytes_ = 0, gate_up_columns_ = 0, tree_columns_ = 0;
};

}  // namespace quire::kernels::cuda
