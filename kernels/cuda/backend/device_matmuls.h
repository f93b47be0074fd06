// The matmuls of the CUDA backend's steps over a Gemm: what their tensors have to be, gate and up's products
// with what is made of them, and the choosing at start of how each number of rows is multiplied. Owned by the
// backend and called by its thread.
#pragma once

#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/cuda/backend/device_weights.h"
#include "kernels/cuda/step/gemm.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cuda {

// The tensor's elements, whose rows stand side by side and begin at 16 bytes.
template <typename T>
T* Dense(Tensor x, const char* op) {
  CheckOp(BytesOf(x.dtype) == sizeof(T), op, "a tensor has another type");
  CheckOp(x.stride == x.cols || x.rows <= 1, op, "a tensor's rows are not dense");
  return static_cast<T*>(x.data);
}

class DeviceMatmuls {
 public:
  explicit DeviceMatmuls(std::unique_ptr<Gemm> gemm) : gemm_(std::move(gemm)) {}

  // What a first step of so many rows would else find no room for.
  void Reserve(Stream& stream, const DeviceWeights& weights, int64_t tokens);
  // Chooses for every count of rows that a step is filled up to; clears x and out.
  void Prepare(Stream& stream, const DeviceWeights& weights, std::span<const StepMatmul> matmuls);

  void Run(Stream& stream, Tensor x, const DeviceMatrix& matrix, const float* bias, Tensor out);
  void RunSiluMul(Stream& stream, Tensor x, const DeviceMatrix& gate_up, Tensor out);

 private:
  // [rows, gate and up], in bf16.
  Tensor GateUpProducts(Stream& stream, int64_t rows, const DeviceMatrix& gate_up);

  const std::unique_ptr<Gemm> gemm_;
  DeviceArray<uint16_t> gate_up_;
};

}  // namespace quire::kernels::cuda
