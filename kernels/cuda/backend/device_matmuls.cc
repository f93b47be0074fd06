#include "kernels/cuda/backend/device_matmuls.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/backend/device_step.h"
#include "kernels/cuda/rows.h"

namespace quire::kernels::cuda {
namespace {

StepGemm GemmOf(Tensor x, const DeviceMatrix& matrix, const float* bias, Tensor out) {
  CheckOp(x.cols == matrix.k, "Matmul", "x is not [rows, k]");
  CheckOp(out.rows == x.rows && out.cols == matrix.rows, "Matmul", "out is not [rows, n]");
  return {.weights = matrix.weights.data(),
          .x = Dense<uint16_t>(x, "Matmul"),
          .y = out.data,
          .y_is_bf16 = out.dtype == DType::kBf16,
          .m = static_cast<int>(x.rows),
          .n = static_cast<int>(matrix.rows),
          .k = static_cast<int>(matrix.k),
          .y_stride = out.stride,
          .leaves = matrix.leaves,
          .bias = bias};
}

size_t SizeOf(const Tensor& x) { return static_cast<size_t>(x.rows * x.stride * BytesOf(x.dtype)); }

}  // namespace

void DeviceMatmuls::Reserve(Stream& stream, const DeviceWeights& weights, int64_t tokens) {
  if (weights.tree_columns() > 0) gemm_->Reserve(stream, static_cast<int>(weights.tree_columns()));
  const int64_t gate_up = tokens * weights.gate_up_columns();
  if (gate_up > 0) gate_up_ = DeviceArray<uint16_t>(stream, gate_up);
}

// Of x, weights stand for what steps will have there: zeros would cost less power, and so less time.
void DeviceMatmuls::Prepare(Stream& stream, const DeviceWeights& weights,
                            std::span<const StepMatmul> matmuls) {
  std::vector<StepGemm> gemms;
  for (const auto& [id, x, out] : matmuls) {
    if (x.rows == 0) continue;
    const DeviceMatrix& matrix = weights.matrix(id, "PrepareMatmuls");
    const Tensor y = matrix.kind == MatrixKind::kGateUp ? GateUpProducts(stream, x.rows, matrix) : out;
    QueueCopyOnDevice(stream, x.data, matrix.weights.data(), std::min(SizeOf(x), matrix.weights.size() * 2));
    for (const int64_t rows : FilledCounts(x.rows)) {
      gemms.push_back(GemmOf(x.Rows(rows), matrix, nullptr, y.Rows(rows)));
    }
  }
  gemm_->Choose(stream, gemms);
  for (const auto& [id, x, out] : matmuls) {  // as Allocate left them
    if (x.rows == 0) continue;
    QueueClear(stream, x.data, SizeOf(x));
    QueueClear(stream, out.data, SizeOf(out));
  }
}

void DeviceMatmuls::Run(Stream& stream, Tensor x, const DeviceMatrix& matrix, const float* bias, Tensor out) {
  const StepGemm gemm = GemmOf(x, matrix, bias, out);
  if (gemm.m > 0) gemm_->Run(stream, gemm, Order::kOverlapping);
}

void DeviceMatmuls::RunSiluMul(Stream& stream, Tensor x, const DeviceMatrix& gate_up, Tensor out) {
  CheckOp(out.rows == x.rows && out.cols * 2 == gate_up.rows, "MatmulSiluMul", "out is not [rows, n / 2]");
  if (x.rows == 0) return;
  const Tensor products = GateUpProducts(stream, x.rows, gate_up);
  Run(stream, x, gate_up, nullptr, products);
  SiluMul<uint16_t>(stream, static_cast<int>(x.rows),
                    {products.bf16(), Dense<uint16_t>(out, "MatmulSiluMul"), static_cast<int>(out.cols)},
                    Order::kOverlapping);
}

Tensor DeviceMatmuls::GateUpProducts(Stream& stream, int64_t rows, const DeviceMatrix& gate_up) {
  const auto wanted = static_cast<size_t>(rows * gate_up.rows);
  if (gate_up_.size() < wanted) gate_up_ = DeviceArray<uint16_t>(stream, wanted);  // of a test's single op
  return {gate_up_.data(), DType::kBf16, rows, gate_up.rows, gate_up.rows};
}

}  // namespace quire::kernels::cuda
