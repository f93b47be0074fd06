// What the backends' tests share: seeded random tensors, bitwise snapshots, and a sequence's attention.
// Test-only, header only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/bf16.h"
#include "kernels/int8_rows.h"
#include "kernels/test_step.h"

namespace quire::kernels {

inline std::vector<float> RandomFloats(int64_t count, uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

inline std::vector<uint16_t> RandomBf16(int64_t count, uint32_t seed, float scale = 1) {
  std::vector<uint16_t> out;
  for (const float value : RandomFloats(count, seed, scale)) out.push_back(FloatToBf16(value));
  return out;
}

inline Tensor NewF32(Backend& backend, int64_t rows, int64_t cols, std::span<const float> values = {}) {
  Tensor tensor = backend.Allocate(DType::kF32, rows, cols).value();
  for (int64_t row = 0; row < rows && !values.empty(); ++row) {
    std::copy_n(values.begin() + row * cols, cols, tensor.f32(row));
  }
  return tensor;
}

inline Tensor NewBf16(Backend& backend, int64_t rows, int64_t cols, std::span<const uint16_t> values = {}) {
  Tensor tensor = backend.Allocate(DType::kBf16, rows, cols).value();
  for (int64_t row = 0; row < rows && !values.empty(); ++row) {
    std::copy_n(values.begin() + row * cols, cols, tensor.bf16(row));
  }
  return tensor;
}

inline Tensor RowsOf(Tensor t, int64_t first, int64_t count) {
  t.data = static_cast<std::byte*>(t.data) + first * t.stride * BytesOf(t.dtype);
  return t.Rows(count);
}

inline MatrixId AddMatrix(Backend& backend, int64_t rows, int64_t k, std::span<const uint16_t> values,
                          MatrixKind kind = MatrixKind::kPlain, int64_t leaves = 1) {
  if (kind == MatrixKind::kPlain) {
    const HostMatrix part{values.data(), rows, k};
    return backend.AddMatrix({&part, 1}, k, kind, leaves).value();
  }
  const HostMatrix parts[] = {{values.data(), rows / 2, k}, {values.data() + rows / 2 * k, rows / 2, k}};
  return backend.AddMatrix(parts, k, kind, leaves).value();
}

// The same in int8, in the groups of this shape.
inline MatrixId AddInt8Matrix(Backend& backend, int64_t rows, int64_t k, std::span<const uint16_t> values,
                              MatrixKind kind = MatrixKind::kPlain, int64_t leaves = 1) {
  const int64_t count = kind == MatrixKind::kGateUp ? 2 : 1, part_rows = rows / count;
  std::vector<Int8Rows> parts;
  std::vector<HostMatrix> matrices;
  for (int64_t i = 0; i < count; ++i) {
    const HostMatrix part{values.data() + i * part_rows * k, part_rows, k};
    parts.push_back(QuantizeRows(part, k, Int8GroupOf(k, leaves), 1).value());
  }
  for (const Int8Rows& part : parts) matrices.push_back(part.matrix());
  return backend.AddMatrix(matrices, k, kind, leaves).value();
}

// The tensor's elements as fp32.
inline std::vector<float> Values(Tensor tensor) {
  std::vector<float> out;
  for (int64_t row = 0; row < tensor.rows; ++row) {
    for (int64_t col = 0; col < tensor.cols; ++col) {
      out.push_back(tensor.dtype == DType::kF32 ? tensor.f32(row)[col] : Bf16ToFloat(tensor.bf16(row)[col]));
    }
  }
  return out;
}

// The bits of rows [first, first + count); equal strings mean equal tensors, bit for bit.
inline std::string Bits(Tensor tensor, int64_t first, int64_t count) {
  std::string out;
  const int64_t size = BytesOf(tensor.dtype);
  for (int64_t row = first; row < first + count; ++row) {
    out.append(static_cast<const char*>(tensor.data) + row * tensor.stride * size, tensor.cols * size);
  }
  return out;
}
inline std::string Bits(Tensor tensor) { return Bits(tensor, 0, tensor.rows); }

// Root mean square of the difference over that of the reference.
inline double RelativeError(std::span<const float> got, std::span<const float> want) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (static_cast<double>(got[i]) - want[i]) * (static_cast<double>(got[i]) - want[i]);
    size += static_cast<double>(want[i]) * want[i];
  }
  return std::sqrt(difference / size);
}

// A sequence of `length` random tokens in shuffled blocks of a fresh one-layer KV cache, run through
// RopeAndStore and Attention in chunks; q and attention outputs of every token are collected.
class AttentionRun {
 public:
  AttentionRun(Backend& backend, KvShape shape, int64_t length, bool normed = false)
      : backend_(backend), shape_(shape), length_(length) {
    const int64_t needed = (length + 15) / 16;
    shape_.layers = 2;
    shape_.blocks = needed + 3;
    for (int32_t block = 0; block < shape_.blocks; ++block) blocks_.push_back(block);
    std::shuffle(blocks_.begin(), blocks_.end(), std::mt19937(5));
    blocks_.resize(needed);
    std::vector<double> inv_freq;
    for (int64_t i = 0; i < shape.head_dim / 2; ++i)
      inv_freq.push_back(std::pow(1e4, -2.0 * i / shape.head_dim));
    rope_ = backend.AddRope(inv_freq, 1, length + 1).value();
    if (const absl::Status status = backend.CreateKvCache(shape_); !status.ok()) std::abort();
    const int64_t width = (shape.query_heads + 2 * shape.kv_heads) * shape.head_dim;
    qkv_ = NewF32(backend, length, width, RandomFloats(length * width, 11));
    if (normed) {
      norms_ = {.q = backend.AddVector(RandomFloats(shape.head_dim, 12)).value(),
                .k = backend.AddVector(RandomFloats(shape.head_dim, 13)).value(),
                .eps = 1e-2f};
    }
    q_ = NewBf16(backend, length, shape.query_heads * shape.head_dim);
    out_ = NewBf16(backend, length, shape.query_heads * shape.head_dim);
  }

  // The tokens [first, first + count), all before them having run.
  void Chunk(int64_t first, int64_t count) {
    const auto from = [&](Tensor t) {
      t.data = static_cast<std::byte*>(t.data) + first * t.stride * BytesOf(t.dtype);
      return t.Rows(count);
    };
    const std::span<const int32_t> blocks(blocks_.data(), (first + count + 15) / 16);
    const SequenceRows rows{
        .first_row = 0, .rows = count, .position = first, .blocks = blocks, .rope = rope_};
    BeginTestStep(backend_, {&rows, 1});
    backend_.RopeAndStore(from(qkv_), 1, norms_, from(q_));
    backend_.Attention(from(q_), 1, from(out_));
  }
  // Moves the last block of those that the first `length` tokens stand in to one that was not in use.
  void MoveLastBlock(int64_t length) {
    int32_t& last = blocks_[(length - 1) / 16];
    for (int32_t spare = 0; spare < shape_.blocks; ++spare) {
      if (std::find(blocks_.begin(), blocks_.end(), spare) != blocks_.end()) continue;
      const BlockCopy copies[] = {{last, spare}};
      backend_.CopyBlocks(copies);
      last = spare;
      return;
    }
  }
  void InChunks(int64_t size) {
    for (int64_t first = 0; first < length_; first += size) Chunk(first, std::min(size, length_ - first));
  }

  Tensor q() const { return q_; }
  Tensor out() const { return out_; }

 private:
  Backend& backend_;
  KvShape shape_;
  const int64_t length_;
  std::vector<int32_t> blocks_;
  RopeId rope_{};
  HeadNorms norms_;
  Tensor qkv_, q_, out_;
};

}  // namespace quire::kernels
