// A view of a row-major matrix in a backend's memory: what moves between ops. It owns nothing (the backend
// that allocated it does) and is copied freely. `stride` is in elements; rows may be padded.
#pragma once

#include <cstdint>
#include <span>

namespace quire::kernels {

enum class DType : uint8_t { kF32, kBf16 };

inline constexpr int64_t BytesOf(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  int64_t stride = 0;  // elements from one row to the next

  float* f32(int64_t row = 0) const { return static_cast<float*>(data) + row * stride; }
  uint16_t* bf16(int64_t row = 0) const { return static_cast<uint16_t*>(data) + row * stride; }
  // One row of fp32.
  std::span<float> Row(int64_t row) const { return {f32(row), static_cast<size_t>(cols)}; }
  // The first `count` rows.
  Tensor Rows(int64_t count) const { return {data, dtype, count, cols, stride}; }
  // The first `count` columns.
  Tensor Columns(int64_t count) const { return {data, dtype, rows, count, stride}; }
};

}  // namespace quire::kernels
