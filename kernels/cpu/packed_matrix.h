// A weight matrix as the matmul kernels stream it. Rows are split over the compute threads in strips of 16;
// each thread's slice lies in its own arena as panels of 48 rows (the last may have 16 or 32), each panel
// [k/2][panel strips][16][2] bf16: one linear stream. A gate/up matrix alternates a gate panel and an up
// panel. Missing rows and the second half of an odd k are zeros. Immutable after Pack.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/thread_pool.h"

namespace quire::kernels::cpu {

class PackedMatrix {
 public:
  // Output rows [first_row, first_row + rows) of one thread (of the gate, in a gate/up matrix).
  struct Slice {
    const uint16_t* data = nullptr;
    int64_t first_row = 0, rows = 0;
  };

  // The parts have passed CheckMatrix and hold `rows` rows together; arenas[t] is thread t's.
  static absl::StatusOr<PackedMatrix> Pack(std::span<const HostRows> parts, int64_t rows, int64_t k,
                                           MatrixKind kind, int64_t leaves, std::span<Arena> arenas,
                                           ThreadPool& pool);

  MatrixKind kind() const { return kind_; }
  int64_t k() const { return k_; }
  int64_t pairs() const { return (k_ + 1) / 2; }
  int64_t leaves() const { return leaves_; }  // each of pairs() / leaves() pairs
  // Outputs of the matmul: half the weight's rows for gate/up.
  int64_t outputs() const { return outputs_; }
  const Slice& slice(int thread) const { return slices_[thread]; }

  // out[k] = the row as fp32; kPlain only.
  void CopyRow(int64_t row, float* out) const;

 private:
  PackedMatrix(MatrixKind kind, int64_t outputs, int64_t k, int64_t leaves)
      : kind_(kind), outputs_(outputs), k_(k), leaves_(leaves) {}

  MatrixKind kind_;
  int64_t outputs_, k_, leaves_;
  std::vector<Slice> slices_;
};

}  // namespace quire::kernels::cpu
