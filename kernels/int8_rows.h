// What int8 means, for every backend: a row's k's are cut into groups; a group is rotated by a Hadamard
// matrix, which spreads over all of it what stands out, and kept as integers of -127 to 127 and a scale.
// Weights are kept so, and each row of x is made so where it meets them (dynamic, per token). Their product
// is the sum over groups, in order, of an exact sum of integers times both scales: so every way to compute
// the integers gives the same bits. Here stands the definition, which loading and the reference use; backends
// have their own for x, equal to the bit. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace quire::kernels {

// Names this definition, a part of numerics_id: it changes whenever any answer does.
inline constexpr char kInt8Name[] = "int8-1";

inline constexpr int64_t kMaxInt8Group = 128, kMinInt8Group = 32;

// How many k's of a matrix whose sums have `leaves` share a scale: the largest of 128, 64 and 32 of which a
// leaf is whole groups. 0: there is none, and the matrix stays in bf16.
int64_t Int8GroupOf(int64_t k, int64_t leaves);

// What rows of a matrix take in a backend, padding not counted; group 0: in bf16.
inline int64_t MatrixBytes(int64_t rows, int64_t k, int64_t group) {
  return rows * (group == 0 ? 2 * k : k + 2 * (k / group));
}

// A row's integers q [k] and the scales [k / group] of its groups, which bf16 holds. x is bf16; what is
// nearer to 0 than 2^-60 counts as 0. A rotated group is q * scale; of zeros the scale is 0. Where a group
// holds, or adds up to, what is not finite, q is 0 and the scale NaN.
void QuantizeRow(const uint16_t* x, int64_t k, int64_t group, int8_t* q, float* scales);

// Rows of a weight as QuantizeRow makes them, but for the scales: these bring the 1 / group that a product of
// two rotated groups needs, too.
struct Int8Rows {
  int64_t rows = 0, k = 0, group = 0;
  std::vector<int8_t> q;         // [rows, k]
  std::vector<uint16_t> scales;  // [rows, k / group], bf16

  // Stands as long as this.
  HostMatrix matrix() const { return {q.data(), rows, k, MatrixFormat::kInt8, group, scales.data()}; }
};

// Of bf16 rows, on up to `threads` threads. InvalidArgument, with row and columns, where a group's scale
// would be NaN.
absl::StatusOr<Int8Rows> QuantizeRows(const HostMatrix& weights, int64_t k, int64_t group, int threads);

}  // namespace quire::kernels
