#include "kernels/cpu/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/core/status.h"
#include "kernels/bf16.h"
#include "kernels/cpu/kernel_table.h"

namespace quire::kernels::cpu {
namespace {

int64_t StripsOf(int64_t rows) { return (rows + kLanes - 1) / kLanes; }

// The parts as one tall matrix.
class Rows {
 public:
  explicit Rows(std::span<const HostRows> parts) : parts_(parts) {}
  const uint16_t* operator[](int64_t row) const {
    size_t part = 0;
    while (row >= parts_[part].rows) row -= parts_[part++].rows;
    return parts_[part].data + row * parts_[part].stride;
  }

 private:
  const std::span<const HostRows> parts_;
};

// Interleaves up to 16 rows: pair p of row r goes to out + p * step + 2 * r. Reads 16 streams and writes
// whole cache lines.
void PackStrip(const uint16_t* const* rows, int64_t count, int64_t k, int64_t step, uint16_t* out) {
  for (int64_t pair = 0; pair < k / 2; ++pair, out += step) {
    if (count == kLanes) {
      for (int64_t r = 0; r < kLanes; ++r) std::memcpy(out + 2 * r, rows[r] + 2 * pair, 4);
    } else {
      for (int64_t r = 0; r < count; ++r) std::memcpy(out + 2 * r, rows[r] + 2 * pair, 4);
    }
  }
  if (k % 2 == 0) return;
  for (int64_t r = 0; r < count; ++r) out[2 * r] = rows[r][k - 1];
}

// Writes rows [first, first + rows), rows <= 48, as one panel and returns where the next one starts.
uint16_t* PackPanel(const Rows& source, int64_t first, int64_t rows, int64_t k, uint16_t* out) {
  const int64_t step = StripsOf(rows) * kLanes * 2;
  for (int64_t row = 0; row < rows; row += kLanes) {
    const int64_t count = std::min(kLanes, rows - row);
    const uint16_t* pointers[kLanes];
    for (int64_t r = 0; r < count; ++r) pointers[r] = source[first + row + r];
    PackStrip(pointers, count, k, step, out + row * 2);
  }
  return out + (k + 1) / 2 * step;
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Pack(std::span<const HostRows> parts, int64_t rows, int64_t k,
                                                MatrixKind kind, int64_t leaves, std::span<Arena> arenas,
                                                ThreadPool& pool) {
  const int64_t halves = kind == MatrixKind::kGateUp ? 2 : 1;
  PackedMatrix matrix(kind, rows / halves, k, leaves);
  const int64_t strips = StripsOf(matrix.outputs_), threads = std::ssize(arenas);
  std::vector<uint16_t*> memory(threads);
  for (int64_t t = 0; t < threads; ++t) {
    const int64_t first = strips * t / threads, count = strips * (t + 1) / threads - first;
    Slice slice{nullptr, first * kLanes, 0};
    if (count > 0) {
      slice.rows = std::min(matrix.outputs_ - slice.first_row, count * kLanes);
      const int64_t elements = halves * count * matrix.pairs() * kLanes * 2;
      QUIRE_ASSIGN_OR_RETURN(memory[t], arenas[t].AllocateArray<uint16_t>(elements));
      slice.data = memory[t];
    }
    matrix.slices_.push_back(slice);
  }
  const Rows source(parts);
  pool.Run([&](int t, int) {
    const Slice& slice = matrix.slices_[t];
    uint16_t* out = memory[t];
    for (int64_t row = 0; row < slice.rows; row += kPanelRows) {
      const int64_t count = std::min(kPanelRows, slice.rows - row);
      for (int64_t half = 0; half < halves; ++half) {
        out = PackPanel(source, half * matrix.outputs_ + slice.first_row + row, count, k, out);
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
  const int64_t strips = StripsOf(std::min(kPanelRows, slice.rows - panel));
  const uint16_t* from = slice.data + panel * pairs() * 2 + (local - panel) * 2;
  for (int64_t i = 0; i < k_; ++i) out[i] = Bf16ToFloat(from[i / 2 * strips * kLanes * 2 + i % 2]);
}

}  // namespace quire::kernels::cpu
