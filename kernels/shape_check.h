// What every backend refuses at load, in one place: shapes that are empty, negative, inconsistent or too
// large to address. A shape comes from a checkpoint's config and headers, which nobody vouches for, so the
// errors name the offending number. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace quire::kernels {

// A key tile's accumulators hold a head of this size.
inline constexpr int64_t kMaxHeadDim = 256;
// Angles (position * frequency, and the first frequency is 1) beyond it would leave the range in which the
// tables' sine and cosine are exact to fp32: 2^20 quarter turns.
inline constexpr int64_t kMaxPositions = 1'600'000;

// Each returns InvalidArgument unless the arguments of the Backend call of that name make sense.
absl::Status CheckAllocate(DType dtype, int64_t rows, int64_t cols);
// Returns the sum of the parts' rows.
absl::StatusOr<int64_t> CheckMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                    int64_t leaves);
absl::Status CheckRope(std::span<const double> inv_freq, double scale, int64_t max_positions);
absl::Status CheckKvShape(const KvShape& shape);

// The last step of a check at run time: an op was called against its contract, which is a bug of the caller
// and would read or write foreign memory. Prints what was wrong and aborts.
[[noreturn]] void FailOp(const char* op, const char* what);
inline void CheckOp(bool ok, const char* op, const char* what) {
  if (!ok) FailOp(op, what);
}

}  // namespace quire::kernels
