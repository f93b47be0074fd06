#include "kernels/shape_check.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::kernels {
namespace {

constexpr int64_t kMaxDimension = int64_t{1} << 31;
constexpr int64_t kMaxBytes = int64_t{1} << 46;

absl::Status CheckDimension(const char* what, int64_t value) {
  if (value >= 1 && value <= kMaxDimension) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, "; it must be between 1 and ", kMaxDimension));
}

// `dimensions` are already checked one by one.
absl::Status CheckBytes(const char* what, std::initializer_list<int64_t> dimensions) {
  int64_t bytes = 1;
  for (const int64_t dimension : dimensions) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes) || bytes > kMaxBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " would take more than ", kMaxBytes, " bytes; check the model's config"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLeaves(int64_t k, MatrixKind kind, int64_t leaves) {
  if (leaves == 1) return absl::OkStatus();
  const bool is_power = leaves >= 1 && leaves <= kMaxLeaves && (leaves & (leaves - 1)) == 0;
  if (is_power && k % (2 * leaves) == 0 && kind == MatrixKind::kPlain) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a matrix of inner size ", k, " can't be summed in ", leaves, " leaves"));
}

absl::Status CheckFormat(std::span<const HostMatrix> parts, int64_t k, int64_t leaves) {
  const HostMatrix& first = parts[0];
  for (const HostMatrix& part : parts) {
    if (part.format != first.format || part.group != first.group) {
      return absl::InvalidArgumentError("a matrix's parts differ in format");
    }
    if (part.format == MatrixFormat::kInt8 && part.scales == nullptr) {
      return absl::InvalidArgumentError("a matrix's part has no scales");
    }
  }
  if (first.format == MatrixFormat::kBf16 && first.group == 0) return absl::OkStatus();
  const bool is_group = first.group == 32 || first.group == 64 || first.group == 128;
  if (first.format == MatrixFormat::kInt8 && is_group && k % (leaves * first.group) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("a matrix of inner size ", k, " in ", leaves,
                                                 " leaves can't have groups of ", first.group));
}

}  // namespace

absl::Status CheckAllocate(DType dtype, int64_t rows, int64_t cols) {
  QUIRE_RETURN_IF_ERROR(CheckDimension("a tensor's rows", rows));
  QUIRE_RETURN_IF_ERROR(CheckDimension("a tensor's columns", cols));
  return CheckBytes("a tensor", {rows, cols, BytesOf(dtype)});
}

absl::StatusOr<int64_t> CheckMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                    int64_t leaves) {
  QUIRE_RETURN_IF_ERROR(CheckDimension("a matrix's inner size", k));
  if (parts.empty()) return absl::InvalidArgumentError("a matrix needs at least one part");
  int64_t rows = 0;
  for (const HostMatrix& part : parts) {
    QUIRE_RETURN_IF_ERROR(CheckDimension("the rows of a matrix's part", part.rows));
    if (part.data == nullptr) return absl::InvalidArgumentError("a matrix's part has no data");
    if (part.rows > 1 && (part.stride < k || part.stride > kMaxDimension)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the stride of a matrix's part is ", part.stride, "; it must be at least ", k));
    }
    rows += part.rows;
    QUIRE_RETURN_IF_ERROR(CheckDimension("the rows of a matrix", rows));
  }
  if (kind == MatrixKind::kGateUp && (parts.size() != 2 || parts[0].rows != parts[1].rows)) {
    return absl::InvalidArgumentError("a gate/up matrix needs exactly two parts with equal rows");
  }
  QUIRE_RETURN_IF_ERROR(CheckLeaves(k, kind, leaves));
  QUIRE_RETURN_IF_ERROR(CheckFormat(parts, k, leaves));
  QUIRE_RETURN_IF_ERROR(CheckBytes("a matrix", {rows, k, BytesOf(DType::kBf16)}));
  return rows;
}

absl::Status CheckRope(std::span<const double> inv_freq, double scale, int64_t max_positions) {
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of rotary frequencies", std::ssize(inv_freq)));
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of positions", max_positions));
  if (!std::isfinite(scale) || scale <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("the rotary scale is ", scale, "; it must be above 0"));
  }
  for (const double frequency : inv_freq) {
    const double angle = frequency * static_cast<double>(max_positions);
    if (!(angle >= 0) || angle > static_cast<double>(kMaxPositions)) {
      return absl::InvalidArgumentError(absl::StrCat("rotary frequency ", frequency, " with ", max_positions,
                                                     " positions leaves the range 0..", kMaxPositions));
    }
  }
  return CheckBytes("a rotary table", {std::ssize(inv_freq), max_positions, 2, BytesOf(DType::kF32)});
}

absl::Status CheckKvShape(const KvShape& shape) {
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of layers", shape.layers));
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of KV blocks", shape.blocks));
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of KV heads", shape.kv_heads));
  QUIRE_RETURN_IF_ERROR(CheckDimension("the number of query heads", shape.query_heads));
  QUIRE_RETURN_IF_ERROR(CheckDimension("head_dim", shape.head_dim));
  if (shape.query_heads % shape.kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(shape.query_heads, " query heads are not a multiple of ", shape.kv_heads, " KV heads"));
  }
  if (shape.head_dim % 2 != 0 || shape.head_dim > kMaxHeadDim) {
    return absl::InvalidArgumentError(
        absl::StrCat("head_dim is ", shape.head_dim, "; it must be even and at most ", kMaxHeadDim));
  }
  return CheckBytes("the KV cache",
                    {shape.layers, shape.blocks, shape.kv_heads, shape.head_dim + 16, 16 * 2 * 2});
}

void FailOp(const char* op, const char* what) {
  std::fprintf(stderr, "kernels: %s was called against its contract: %s\n", op, what);
  std::abort();
}

}  // namespace quire::kernels
