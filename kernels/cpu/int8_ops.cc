#include "kernels/cpu/int8_ops.h"

#include <algorithm>

#include "base/core/status.h"

namespace quire::kernels::cpu {

absl::Status Int8Ops::Reserve(const PackedMatrix& matrix) {
  // Whole cache lines and one more, as CpuBackend::Allocate.
  const int64_t stride = (matrix.k() + 63) / 64 * 64 + 64, groups = matrix.k() / matrix.group();
  if (stride > q_stride_) {
    QUIRE_ASSIGN_OR_RETURN(q_, memory_.AllocateArray<int8_t>(kMaxColumns * stride));
    q_stride_ = stride;
  }
  if (groups > groups_) {
    QUIRE_ASSIGN_OR_RETURN(scales_, memory_.AllocateArray<float>(kMaxColumns * groups));
    QUIRE_ASSIGN_OR_RETURN(starts_, memory_.AllocateArray<int32_t>(kMaxColumns * groups));
    groups_ = groups;
  }
  return absl::OkStatus();
}

void Int8Ops::Quantize(Tensor x, int64_t group) {
  const auto rows = [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      kernels_.quantize(x.bf16(i), x.cols, group, q_ + i * q_stride_, scales_ + i * groups_,
                        starts_ + i * groups_);
    }
  };
  if (x.rows == 1) return rows(0, 1);  // less than waking a thread takes
  const int64_t threads = pool_.threads();
  pool_.Run([&](int t, int) { rows(x.rows * t / threads, x.rows * (t + 1) / threads); });
}

void Int8Ops::Run(Kernel kernel, Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out) {
  for (int64_t first = 0; first < x.rows; first += kMaxColumns) {
    Tensor rows = x.Rows(std::min(kMaxColumns, x.rows - first));
    rows.data = x.bf16(first);
    Quantize(rows, matrix.group());
    pool_.Run([&](int part, int thread) {
      const PackedMatrix::Slice& slice = matrix.slice(part);
      if (slice.rows == 0) return;
      void* to = out.dtype == DType::kF32 ? static_cast<void*>(out.f32(first) + slice.first_row)
                                          : out.bf16(first) + slice.first_row;
      kernel({.x = q_,
              .x_stride = q_stride_,
              .m = rows.rows,
              .leaves = matrix.leaves(),
              .leaf_groups = matrix.k() / matrix.group() / matrix.leaves(),
              .group = matrix.group(),
              .scales = scales_,
              .starts = starts_,
              .scale_stride = groups_,
              .weights = slice.data,
              .rows = slice.rows,
              .bias = bias != nullptr ? bias + slice.first_row : nullptr,
              .out = to,
              .out_stride = out.stride,
              .tiles = tiles_[thread]});
    });
  }
}

void Int8Ops::Matmul(Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out) {
  Run(kernels_.plain, x, matrix, bias, out);
}

void Int8Ops::MatmulSiluMul(Tensor x, const PackedMatrix& gate_up, Tensor out) {
  Run(kernels_.silu_mul, x, gate_up, nullptr, out);
}

}  // namespace quire::kernels::cpu
