#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/status.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/kv_cache.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/rope_table.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cpu {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kMaxSpinUs = 1'000'000;

// Rows of one query tile of one KV head of one sequence: rows are (token, query head of the group), token
// first.
struct AttentionTask {
  const SequenceRows* sequence;
  int64_t kv_head, first, count;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, int threads, int spin_us)
      : kernels_(kernels), pool_(threads, spin_us), weights_(threads) {}
  // The rest of construction, which can fail. Once, before anything else.
  absl::Status Init();

  std::string family() const override { return "cpu-bf16-1"; }

  absl::StatusOr<Tensor> Allocate(DType dtype, int64_t rows, int64_t cols) override;
  absl::StatusOr<MatrixId> AddMatrix(std::span<const HostRows> parts, int64_t k, MatrixKind kind) override;
  absl::StatusOr<VectorId> AddVector(std::span<const float> values) override;
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale,
                                 int64_t max_positions) override;
  absl::Status CreateKvCache(const KvShape& shape) override;
  WeightStats weight_stats() const override { return stats_; }

  void Embed(MatrixId table, std::span<const int32_t> ids, int64_t first_row, Tensor out) override;
  void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) override;
  void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) override;
  void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) override;
  void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) override;
  void RopeAndStore(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences,
                    Tensor q_out) override;
  void Attention(Tensor q, int64_t layer, std::span<const SequenceRows> sequences, Tensor out) override;
  void GatherRows(Tensor x, std::span<const int64_t> rows, Tensor out) override;
  absl::StatusOr<const float*> ReadRows(Tensor x) override;

 private:
  using MatmulKernel = void (*)(const MatmulArgs&);

  const PackedMatrix& matrix(MatrixId id, MatrixKind kind, const char* op) const;
  std::span<const float> vector(VectorId id, int64_t size, const char* op) const;
  void NormRows(Tensor x, const Tensor* delta, VectorId weight, float eps, Tensor out, const char* op);
  void RunMatmul(MatmulKernel kernel, Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out);
  Tensor WithEvenColumns(Tensor x);
  void CheckSequences(std::span<const SequenceRows> sequences, int64_t layer, int64_t tokens,
                      const char* op) const;
  void StoreHead(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences, int64_t head,
                 Tensor q_out);
  KvWalk WalkOf(const AttentionTask& task, int64_t layer) const;
  void Attend(int64_t index, Tensor q, int64_t layer, Tensor out) const;
  // Calls body(first, last) on every thread with its share of [0, count).
  template <typename Body>
  void Split(int64_t count, const Body& body);

  const KernelTable& kernels_;
  ThreadPool pool_;
  std::vector<Arena> weights_;  // one per thread
  Arena memory_;                // everything else
  std::vector<PackedMatrix> matrices_;
  std::vector<std::span<const float>> vectors_;
  std::vector<RopeTable> ropes_;
  std::optional<KvCache> kv_;
  std::vector<float*> tiles_;             // matmul scratch, one per thread
  Tensor even_;                           // rows of an odd k with a zero after them
  std::vector<AttentionTask> attention_;  // of the call under way
  WeightStats stats_;
};

absl::Status CpuBackend::Init() {
  tiles_.resize(pool_.threads());
  for (float*& tiles : tiles_) {
    QUIRE_ASSIGN_OR_RETURN(tiles, memory_.AllocateArray<float>(kTileFloats));
  }
  return absl::OkStatus();
}

template <typename Body>
void CpuBackend::Split(int64_t count, const Body& body) {
  const int64_t threads = pool_.threads();
  if (count == 1) return body(0, 1);
  pool_.Run([&](int t) { body(count * t / threads, count * (t + 1) / threads); });
}

const PackedMatrix& CpuBackend::matrix(MatrixId id, MatrixKind kind, const char* op) const {
  const auto index = static_cast<size_t>(id);
  CheckOp(index < matrices_.size(), op, "unknown matrix");
  CheckOp(matrices_[index].kind() == kind, op, "the matrix is of the other kind");
  return matrices_[index];
}

std::span<const float> CpuBackend::vector(VectorId id, int64_t size, const char* op) const {
  const auto index = static_cast<size_t>(id);
  CheckOp(index < vectors_.size(), op, "unknown vector");
  CheckOp(std::ssize(vectors_[index]) == size, op, "the vector has another length");
  return vectors_[index];
}

// ---- load ----

absl::StatusOr<Tensor> CpuBackend::Allocate(DType dtype, int64_t rows, int64_t cols) {
  QUIRE_RETURN_IF_ERROR(CheckAllocate(dtype, rows, cols));
  // Whole cache lines and one more: rows a power of two apart would share few sets of the L1 cache.
  const int64_t line = 64 / BytesOf(dtype);
  const int64_t stride = (cols + line - 1) / line * line + line;
  QUIRE_ASSIGN_OR_RETURN(void* data, memory_.Allocate(rows * stride * BytesOf(dtype)));
  return Tensor{data, dtype, rows, cols, stride};
}

absl::StatusOr<MatrixId> CpuBackend::AddMatrix(std::span<const HostRows> parts, int64_t k, MatrixKind kind) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t rows, CheckMatrix(parts, k, kind));
  if (k % 2 != 0 && even_.cols < k + 1) {
    QUIRE_ASSIGN_OR_RETURN(even_, Allocate(DType::kBf16, kMaxColumns, k + 1));
  }
  QUIRE_ASSIGN_OR_RETURN(PackedMatrix matrix, PackedMatrix::Pack(parts, rows, k, kind, weights_, pool_));
  matrices_.push_back(std::move(matrix));
  stats_.bytes += rows * k * BytesOf(DType::kBf16);
  return MatrixId(static_cast<int32_t>(matrices_.size() - 1));
}

absl::StatusOr<VectorId> CpuBackend::AddVector(std::span<const float> values) {
  if (values.empty()) return absl::InvalidArgumentError("a weight vector is empty");
  QUIRE_ASSIGN_OR_RETURN(float* data, memory_.AllocateArray<float>(std::ssize(values)));
  std::copy(values.begin(), values.end(), data);
  vectors_.emplace_back(data, values.size());
  stats_.bytes += std::ssize(values) * BytesOf(DType::kF32);
  return VectorId(static_cast<int32_t>(vectors_.size() - 1));
}

absl::StatusOr<RopeId> CpuBackend::AddRope(std::span<const double> inv_freq, double scale,
                                           int64_t max_positions) {
  QUIRE_RETURN_IF_ERROR(CheckRope(inv_freq, scale, max_positions));
  QUIRE_ASSIGN_OR_RETURN(RopeTable table, RopeTable::Create(inv_freq, scale, max_positions, memory_));
  ropes_.push_back(table);
  return RopeId(static_cast<int32_t>(ropes_.size() - 1));
}

absl::Status CpuBackend::CreateKvCache(const KvShape& shape) {
  QUIRE_RETURN_IF_ERROR(CheckKvShape(shape));
  if (kv_.has_value()) return absl::FailedPreconditionError("the KV cache exists already");
  QUIRE_ASSIGN_OR_RETURN(kv_, KvCache::Create(shape, memory_));
  return absl::OkStatus();
}

// ---- a step ----

void CpuBackend::Embed(MatrixId id, std::span<const int32_t> ids, int64_t first_row, Tensor out) {
  const PackedMatrix& table = matrix(id, MatrixKind::kPlain, "Embed");
  CheckOp(out.dtype == DType::kF32 && out.rows == std::ssize(ids) && out.cols == table.k(), "Embed",
          "out is not fp32 [ids, k]");
  Split(out.rows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t row = ids[i] - first_row;
      if (row >= 0 && row < table.outputs()) {
        table.CopyRow(row, out.f32(i));
      } else {
        std::fill_n(out.f32(i), out.cols, 0.0f);
      }
    }
  });
}

void CpuBackend::NormRows(Tensor x, const Tensor* delta, VectorId weight, float eps, Tensor out,
                          const char* op) {
  CheckOp(x.dtype == DType::kF32 && out.dtype == DType::kBf16, op, "x is not fp32 or out not bf16");
  CheckOp(out.rows == x.rows && out.cols == x.cols, op, "x and out differ in shape");
  const float* scale = vector(weight, x.cols, op).data();
  const FlushDenormals flush;
  Split(x.rows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      kernels_.rms_norm(x.f32(i), delta != nullptr ? delta->f32(i) : nullptr, scale, x.cols, eps,
                        out.bf16(i));
    }
  });
}

void CpuBackend::RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) {
  NormRows(x, nullptr, weight, eps, out, "RmsNorm");
}

void CpuBackend::AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) {
  CheckOp(delta.dtype == DType::kF32 && delta.rows == x.rows && delta.cols == x.cols, "AddRmsNorm",
          "x and delta differ in shape");
  NormRows(x, &delta, weight, eps, out, "AddRmsNorm");
}

Tensor CpuBackend::WithEvenColumns(Tensor x) {
  Tensor even{even_.data, DType::kBf16, x.rows, x.cols + 1, even_.stride};
  for (int64_t i = 0; i < x.rows; ++i) {
    std::copy_n(x.bf16(i), x.cols, even.bf16(i));
    even.bf16(i)[x.cols] = 0;
  }
  return even;
}

void CpuBackend::RunMatmul(MatmulKernel kernel, Tensor x, const PackedMatrix& matrix, const float* bias,
                           Tensor out) {
  const FlushDenormals flush;
  for (int64_t first = 0; first < x.rows; first += kMaxColumns) {
    Tensor rows = x.Rows(std::min(kMaxColumns, x.rows - first));
    rows.data = x.bf16(first);
    if (x.cols % 2 != 0) rows = WithEvenColumns(rows);
    pool_.Run([&](int t) {
      const PackedMatrix::Slice& slice = matrix.slice(t);
      if (slice.rows == 0) return;
      void* to = out.dtype == DType::kF32 ? static_cast<void*>(out.f32(first) + slice.first_row)
                                          : out.bf16(first) + slice.first_row;
      kernel({rows.bf16(), rows.stride, rows.rows, matrix.pairs(), slice.data, slice.rows,
              bias != nullptr ? bias + slice.first_row : nullptr, to, out.stride, tiles_[t]});
    });
  }
}

void CpuBackend::Matmul(Tensor x, MatrixId id, VectorId bias, Tensor out) {
  const PackedMatrix& w = matrix(id, MatrixKind::kPlain, "Matmul");
  CheckOp(x.dtype == DType::kBf16 && x.cols == w.k(), "Matmul", "x is not bf16 [tokens, k]");
  CheckOp(out.dtype == DType::kF32 && out.rows == x.rows && out.cols == w.outputs(), "Matmul",
          "out is not fp32 [tokens, n]");
  const float* bias_data = bias == kNoBias ? nullptr : vector(bias, w.outputs(), "Matmul").data();
  RunMatmul(kernels_.matmul, x, w, bias_data, out);
}

void CpuBackend::MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) {
  const PackedMatrix& w = matrix(gate_up, MatrixKind::kGateUp, "MatmulSiluMul");
  CheckOp(x.dtype == DType::kBf16 && x.cols == w.k(), "MatmulSiluMul", "x is not bf16 [tokens, k]");
  CheckOp(out.dtype == DType::kBf16 && out.rows == x.rows && out.cols == w.outputs(), "MatmulSiluMul",
          "out is not bf16 [tokens, n / 2]");
  RunMatmul(kernels_.matmul_silu_mul, x, w, nullptr, out);
}

void CpuBackend::CheckSequences(std::span<const SequenceRows> sequences, int64_t layer, int64_t tokens,
                                const char* op) const {
  CheckOp(kv_.has_value(), op, "there is no KV cache");
  CheckOp(layer >= 0 && layer < kv_->shape().layers, op, "no such layer");
  for (const SequenceRows& s : sequences) {
    CheckOp(s.first_row >= 0 && s.rows >= 0 && s.first_row + s.rows <= tokens, op, "rows out of range");
    const int64_t end = s.position + s.rows;
    CheckOp(s.position >= 0 && end <= std::ssize(s.blocks) * kBlockTokens, op,
            "the block table is too short");
    for (const int32_t block : s.blocks) {
      CheckOp(block >= 0 && block < kv_->shape().blocks, op, "no such block");
    }
  }
}

void CpuBackend::StoreHead(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences, int64_t head,
                           Tensor q_out) {
  const KvShape& shape = kv_->shape();
  const int64_t key_head = head - shape.query_heads, value_head = key_head - shape.kv_heads;
  uint16_t row[kMaxHeadDim];
  for (const SequenceRows& s : sequences) {
    const RopeTable& rope = ropes_[static_cast<size_t>(s.rope)];
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t position = s.position + i, at = head * shape.head_dim;
      const float* in = qkv.f32(s.first_row + i) + at;
      const int64_t block = s.blocks[position / kBlockTokens], slot = position % kBlockTokens;
      if (value_head >= 0) {
        kernels_.to_bf16(in, shape.head_dim, row);
        kv_->StoreValue(layer, block, value_head, slot, row);
        continue;
      }
      uint16_t* rotated = key_head >= 0 ? row : q_out.bf16(s.first_row + i) + at;
      kernels_.rotate(in, rope.cosine(position), rope.sine(position), rope.half(), rotated);
      if (key_head >= 0) kv_->StoreKey(layer, block, key_head, slot, row);
    }
  }
}

void CpuBackend::RopeAndStore(Tensor qkv, int64_t layer, std::span<const SequenceRows> sequences,
                              Tensor q_out) {
  CheckSequences(sequences, layer, std::min(qkv.rows, q_out.rows), "RopeAndStore");
  const KvShape& shape = kv_->shape();
  const int64_t heads = shape.query_heads + 2 * shape.kv_heads;
  CheckOp(qkv.dtype == DType::kF32 && qkv.cols == heads * shape.head_dim, "RopeAndStore",
          "qkv is not fp32 [tokens, heads]");
  CheckOp(q_out.dtype == DType::kBf16 && q_out.cols == shape.query_heads * shape.head_dim, "RopeAndStore",
          "q_out is not bf16 [tokens, query heads]");
  for (const SequenceRows& s : sequences) {
    const auto rope = static_cast<size_t>(s.rope);
    CheckOp(rope < ropes_.size() && ropes_[rope].half() * 2 == shape.head_dim, "RopeAndStore",
            "unknown rope");
    CheckOp(s.position + s.rows <= ropes_[rope].positions(), "RopeAndStore", "position beyond the rope's");
  }
  const FlushDenormals flush;
  // By head: two positions of V share a 32-bit word, so one thread writes all positions of a head.
  Split(heads, [&](int64_t first, int64_t last) {
    for (int64_t head = first; head < last; ++head) StoreHead(qkv, layer, sequences, head, q_out);
  });
}

KvWalk CpuBackend::WalkOf(const AttentionTask& task, int64_t layer) const {
  return {kv_->pages(layer, task.kv_head), kv_->page_stride(), task.sequence->blocks.data(),
          std::ssize(task.sequence->blocks)};
}

void CpuBackend::Attend(int64_t index, Tensor q, int64_t layer, Tensor out) const {
  const AttentionTask& task = attention_[index];
  const KvShape& shape = kv_->shape();
  const int64_t group = shape.query_heads / shape.kv_heads;
  AttentionArgs args{};
  args.rows = task.count;
  for (int64_t i = 0; i < task.count; ++i) {
    const int64_t token = (task.first + i) / group, head = task.kv_head * group + (task.first + i) % group;
    const int64_t row = task.sequence->first_row + token;
    args.q[i] = q.bf16(row) + head * shape.head_dim;
    args.out[i] = out.bf16(row) + head * shape.head_dim;
    args.keys[i] = task.sequence->position + token + 1;
  }
  args.head_dim = shape.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  args.walk = WalkOf(task, layer);
  // After a thread's last task the next layer's first comes, weights in between: it will wait in a cache.
  const int64_t next = index + pool_.threads(), count = std::ssize(attention_);
  args.next = next < count ? WalkOf(attention_[next], layer)
                           : WalkOf(attention_[next % count], std::min(layer + 1, shape.layers - 1));
  kernels_.attention(args);
}

void CpuBackend::Attention(Tensor q, int64_t layer, std::span<const SequenceRows> sequences, Tensor out) {
  CheckSequences(sequences, layer, std::min(q.rows, out.rows), "Attention");
  const KvShape& shape = kv_->shape();
  const int64_t cols = shape.query_heads * shape.head_dim;
  CheckOp(q.dtype == DType::kBf16 && out.dtype == DType::kBf16 && q.cols == cols && out.cols == cols,
          "Attention", "q or out is not bf16 [tokens, query heads]");
  attention_.clear();
  for (const SequenceRows& s : sequences) {
    const int64_t rows = s.rows * shape.query_heads / shape.kv_heads;
    for (int64_t head = 0; head < shape.kv_heads; ++head) {
      for (int64_t first = 0; first < rows; first += kMaxQueryRows) {
        attention_.push_back({&s, head, first, std::min(kMaxQueryRows, rows - first)});
      }
    }
  }
  const FlushDenormals flush;
  pool_.ForEach(std::ssize(attention_), [&](int64_t i) { Attend(i, q, layer, out); });
}

void CpuBackend::GatherRows(Tensor x, std::span<const int64_t> rows, Tensor out) {
  CheckOp(x.dtype == out.dtype && x.cols == out.cols && out.rows == std::ssize(rows), "GatherRows",
          "out does not fit x and rows");
  const int64_t size = BytesOf(x.dtype);
  for (int64_t i = 0; i < out.rows; ++i) {
    CheckOp(rows[i] >= 0 && rows[i] < x.rows, "GatherRows", "no such row");
    std::memcpy(static_cast<std::byte*>(out.data) + i * out.stride * size,
                static_cast<const std::byte*>(x.data) + rows[i] * x.stride * size, x.cols * size);
  }
}

absl::StatusOr<const float*> CpuBackend::ReadRows(Tensor x) {
  if (x.dtype != DType::kF32) return absl::InvalidArgumentError("ReadRows needs an fp32 tensor");
  return x.f32();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(int threads, int spin_us, const std::string& isa) {
  if (threads < 1 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", threads, "; it must be between 1 and ", kMaxThreads));
  }
  if (spin_us < 0 || spin_us > kMaxSpinUs) {
    return absl::InvalidArgumentError(
        absl::StrCat("spin_us is ", spin_us, "; it must be between 0 and ", kMaxSpinUs));
  }
  QUIRE_ASSIGN_OR_RETURN(const KernelTable* kernels, ChooseKernels(isa));
  auto backend = std::make_unique<CpuBackend>(*kernels, threads, spin_us);
  QUIRE_RETURN_IF_ERROR(backend->Init());
  return backend;
}

}  // namespace quire::kernels::cpu
