#include "kernels/cpu/packed_matrix.h"

#include <algorithm>

#include "base/core/status.h"
#include "kernels/bf16.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/panels.h"

namespace quire::kernels::cpu {
namespace {

int64_t StripsIn(int64_t rows) { return (rows + kLanes - 1) / kLanes; }

// Of so many strips, in panels of three and one of the rest.
int64_t SliceBytes(const TallMatrix& source, int64_t strips) {
  const int64_t rest = strips % kPanelVectors;
  return strips / kPanelVectors * PanelBytes(source, kPanelVectors) +
         (rest > 0 ? PanelBytes(source, rest) : 0);
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Pack(std::span<const HostMatrix> parts, int64_t rows, int64_t k,
                                                MatrixKind kind, int64_t leaves, std::span<Arena> arenas,
                                                ThreadPool& pool) {
  const TallMatrix source(parts, k, leaves);
  const int64_t halves = kind == MatrixKind::kGateUp ? 2 : 1;
  PackedMatrix matrix(kind, rows / halves, k, leaves, source.group);
  const int64_t strips = StripsIn(matrix.outputs_), threads = std::ssize(arenas);
  std::vector<uint8_t*> memory(threads);
  for (int64_t t = 0; t < threads; ++t) {
    const int64_t first = strips * t / threads, count = strips * (t + 1) / threads - first;
    Slice slice{nullptr, first * kLanes, 0};
    if (count > 0) {
      slice.rows = std::min(matrix.outputs_ - slice.first_row, count * kLanes);
      QUIRE_ASSIGN_OR_RETURN(memory[t], arenas[t].AllocateArray<uint8_t>(halves * SliceBytes(source, count)));
      slice.data = memory[t];
    }
    matrix.slices_.push_back(slice);
  }
  pool.Run([&](int t, int) {
    const Slice& slice = matrix.slices_[t];
    uint8_t* out = memory[t];
    for (int64_t row = 0; row < slice.rows; row += kPanelRows) {
      const int64_t count = std::min(kPanelRows, slice.rows - row);
      for (int64_t half = 0; half < halves; ++half) {
        out = PackPanel(source, half * matrix.outputs_ + slice.first_row + row, count, out);
      }
    }
  });
  return matrix;
}

void PackedMatrix::CopyRow(int64_t row, float* out) const {
  size_t thread = 0;
  while (row >= slices_[thread].first_row + slices_[thread].rows) ++thread;
  const Slice& slice = slices_[thread];
  const int64_t local = row - slice.first_row, panel = local / kPanelRows * kPanelRows;
  const int64_t strips = StripsIn(std::min(kPanelRows, slice.rows - panel));
  const uint16_t* from =
      reinterpret_cast<const uint16_t*>(slice.data) + panel * pairs() * 2 + (local - panel) * 2;
  for (int64_t i = 0; i < k_; ++i) out[i] = Bf16ToFloat(from[i / 2 * strips * kLanes * 2 + i % 2]);
}

}  // namespace quire::kernels::cpu
