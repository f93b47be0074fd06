// A weight matrix as the matmul kernels stream it. Rows are split over the compute threads in strips of 16;
// each thread's slice lies in its own arena as panels of 48 rows (the last may have 16 or 32): one linear
// stream. A panel of bf16 is [k/2][panel strips][16][2]. One of int8 is, leaf by leaf, the scales [groups]
// [panel strips][16] in bf16, filled up to a cache line, and [k/4][panel strips][16][4] of the integers plus
// 128: what AMX reads as tiles, too. A gate/up matrix alternates a gate panel and an up panel. Missing rows
// and the second half of an odd k count for nothing. Immutable after Pack.
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
    const uint8_t* data = nullptr;
    int64_t first_row = 0, rows = 0;
  };

  // The parts have passed CheckMatrix and hold `rows` rows together; arenas[t] is thread t's.
  static absl::StatusOr<PackedMatrix> Pack(std::span<const HostMatrix> parts, int64_t rows, int64_t k,
                                           MatrixKind kind, int64_t leaves, std::span<Arena> arenas,
                                           ThreadPool& pool);

  MatrixKind kind() const { return kind_; }
  bool is_int8() const { return group_ != 0; }
  int64_t group() const { return group_; }  // k's of an int8 matrix that share a scale; else 0
  int64_t k() const { return k_; }
  int64_t pairs() const { return (k_ + 1) / 2; }
  int64_t leaves() const { return leaves_; }  // each of pairs() / leaves() pairs
  // Outputs of the matmul: half the weight's rows for gate/up.
  int64_t outputs() const { return outputs_; }
  const Slice& slice(int thread) const { return slices_[thread]; }

  // out[k] = the row as fp32; kPlain in bf16 only.
  void CopyRow(int64_t row, float* out) const;

 private:
  PackedMatrix(MatrixKind kind, int64_t outputs, int64_t k, int64_t leaves, int64_t group)
      : kind_(kind), outputs_(outputs), k_(k), leaves_(leaves), group_(group) {}

  MatrixKind kind_;
  int64_t outputs_, k_, leaves_, group_;
  std::vector<Slice> slices_;
};

}  // namespace quire::kernels::cpu
