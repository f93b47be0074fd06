#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/cpu_topology.h"
#include "base/core/status.h"
#include "kernels/cpu/arena.h"
#include "kernels/cpu/attention_ops.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/cpu/int8_ops.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/packed_matrix.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/host_step.h"
#include "kernels/int8_rows.h"
#include "kernels/sampling/sampler.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cpu {
namespace {

constexpr int kMaxSpinUs = 1'000'000;

static_assert(int64_t{1} << (kTiles - 1) == kMaxLeaves, "a tree of leaves keeps as many tiles");

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, int threads, int spin_us)
      : kernels_(kernels), pool_(threads, spin_us), weights_(threads) {}
  // The rest of construction, which can fail. Once, before anything else.
  absl::Status Init();

  std::string family() const override { return kernels_.family; }

  absl::StatusOr<Tensor> Allocate(DType dtype, int64_t rows, int64_t cols) override;
  absl::StatusOr<MatrixId> AddMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                     int64_t leaves) override;
  absl::StatusOr<VectorId> AddVector(std::span<const float> values) override;
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale,
                                 int64_t max_positions) override {
    return attention_.AddRope(inv_freq, scale, max_positions);
  }
  absl::Status CreateKvCache(const KvShape& shape) override { return attention_.CreateKvCache(shape); }
  absl::Status ReserveStep(const StepLimits& limits) override;
  void CopyBlocks(std::span<const BlockCopy> copies) override { attention_.CopyBlocks(copies); }
  WeightStats weight_stats() const override { return stats_; }

  StepBucket BeginStep(const StepInputs& inputs) override;
  absl::Status Run(const StepBucket&, absl::FunctionRef<absl::Status()> ops) override {
    const FlushDenormals flush;  // for what stands between ops, too: the ranks' sums
    return ops();
  }
  void Embed(MatrixId table, int64_t first_row, Tensor out) override;
  void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) override;
  void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) override;
  void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) override;
  void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) override;
  void RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) override {
    const FlushDenormals flush;
    const HeadWeights weights{head_weight(norms.q), head_weight(norms.k), norms.eps};
    attention_.RopeAndStore(qkv, layer, weights, q_out);
  }
  void Attention(Tensor q, int64_t layer, Tensor out) override {
    const FlushDenormals flush;
    attention_.Attention(q, layer, out);
  }
  void GatherWanted(Tensor x, Tensor out) override;
  absl::Status KeepCandidates(Tensor logits, std::span<const RowNeed> needs,
                              std::span<uint32_t> kept) override;
  void Sample(Tensor logits, std::span<const SampleSpec* const> specs,
              std::span<const RowRuns> runs) override;
  absl::StatusOr<std::span<const SampledToken>> ReadSampled() override { return sampled_; }
  absl::StatusOr<const float*> ReadRows(Tensor x) override;
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  using MatmulKernel = void (*)(const MatmulArgs&);

  const PackedMatrix& matrix(MatrixId id, MatrixKind kind, const char* op) const;
  std::span<const float> vector(VectorId id, int64_t size, const char* op) const;
  const float* head_weight(VectorId id) const {
    return id == kNoNorm ? nullptr : vector(id, attention_.head_dim(), "RopeAndStore").data();
  }
  void NormRows(Tensor x, const Tensor* delta, VectorId weight, float eps, Tensor out, const char* op);
  void RunMatmul(MatmulKernel kernel, Tensor x, const PackedMatrix& matrix, const float* bias, Tensor out);
  Tensor WithEvenColumns(Tensor x);
  // Calls body(first, last) on every thread with its share of [0, count).
  template <typename Body>
  void Split(int64_t count, const Body& body);
  // Calls body(row, part) for every row, on as many parts of the pool at once.
  template <typename Body>
  void DealRows(int64_t rows, int64_t parts, const Body& body);

  const KernelTable kernels_;
  ThreadPool pool_;
  std::vector<Arena> weights_;  // one per thread
  Arena memory_;                // everything else
  HostStep step_;
  AttentionOps attention_{kernels_, pool_, memory_};
  std::vector<Sampler> samplers_;          // one for each part of the pool that may have a row
  std::vector<CandidateRuns> candidates_;  // the same
  std::vector<SampledToken> sampled_;
  std::vector<PackedMatrix> matrices_;
  std::vector<std::span<const float>> vectors_;
  std::vector<float*> tiles_;  // matmul scratch, one per thread
  Int8Ops int8_{kernels_.int8, pool_, memory_, tiles_};
  Tensor even_;  // rows of an odd k with a zero after them
  WeightStats stats_;
};

absl::Status CpuBackend::Init() {
  QUIRE_RETURN_IF_ERROR(pool_.status());
  tiles_.resize(pool_.threads());
  for (float*& tiles : tiles_) {
    QUIRE_ASSIGN_OR_RETURN(tiles, memory_.AllocateArray<float>(kTiles * kTileFloats));
  }
  return absl::OkStatus();
}

template <typename Body>
void CpuBackend::Split(int64_t count, const Body& body) {
  const int64_t threads = pool_.threads();
  if (count == 1) return body(0, 1);
  pool_.Run([&](int t, int) { body(count * t / threads, count * (t + 1) / threads); });
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

absl::StatusOr<MatrixId> CpuBackend::AddMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                               int64_t leaves) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t rows, CheckMatrix(parts, k, kind, leaves));
  if (k % 2 != 0 && even_.cols < k + 1) {
    QUIRE_ASSIGN_OR_RETURN(even_, Allocate(DType::kBf16, kMaxColumns, k + 1));
  }
  QUIRE_ASSIGN_OR_RETURN(PackedMatrix matrix,
                         PackedMatrix::Pack(parts, rows, k, kind, leaves, weights_, pool_));
  if (matrix.is_int8()) QUIRE_RETURN_IF_ERROR(int8_.Reserve(matrix));
  stats_.bytes += MatrixBytes(rows, k, matrix.group());
  matrices_.push_back(std::move(matrix));
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

absl::Status CpuBackend::ReserveStep(const StepLimits& limits) {
  step_.Reserve(limits);
  attention_.ReserveStep(limits);
  samplers_.clear();
  candidates_.clear();
  for (int64_t i = 0; i < std::min<int64_t>(pool_.threads(), limits.wanted_rows); ++i) {
    if (limits.sampled_ids > 0) samplers_.emplace_back(limits.sampled_ids, *kernels_.scans);
    candidates_.emplace_back(limits.part_ids, *kernels_.scans);
  }
  sampled_.reserve(limits.wanted_rows);
  return absl::OkStatus();
}

// ---- a step ----

StepBucket CpuBackend::BeginStep(const StepInputs& inputs) {
  const StepBucket bucket = step_.Take(inputs);
  attention_.BeginStep(step_.sequences());
  return bucket;
}

void CpuBackend::Embed(MatrixId id, int64_t first_row, Tensor out) {
  const std::span<const int32_t> ids = step_.ids();
  const PackedMatrix& table = matrix(id, MatrixKind::kPlain, "Embed");
  CheckOp(!table.is_int8(), "Embed", "the table is not in bf16");
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
  for (int64_t first = 0; first < x.rows; first += kMaxColumns) {
    Tensor rows = x.Rows(std::min(kMaxColumns, x.rows - first));
    rows.data = x.bf16(first);
    if (x.cols % 2 != 0) rows = WithEvenColumns(rows);
    pool_.Run([&](int part, int thread) {
      const PackedMatrix::Slice& slice = matrix.slice(part);
      if (slice.rows == 0) return;
      void* to = out.dtype == DType::kF32 ? static_cast<void*>(out.f32(first) + slice.first_row)
                                          : out.bf16(first) + slice.first_row;
      kernel({rows.bf16(), rows.stride, rows.rows, matrix.leaves(), matrix.pairs() / matrix.leaves(),
              reinterpret_cast<const uint16_t*>(slice.data), slice.rows,
              bias != nullptr ? bias + slice.first_row : nullptr, to, out.stride, tiles_[thread]});
    });
  }
}

void CpuBackend::Matmul(Tensor x, MatrixId id, VectorId bias, Tensor out) {
  const PackedMatrix& w = matrix(id, MatrixKind::kPlain, "Matmul");
  CheckOp(x.dtype == DType::kBf16 && x.cols == w.k(), "Matmul", "x is not bf16 [tokens, k]");
  CheckOp(out.dtype == DType::kF32 && out.rows == x.rows && out.cols == w.outputs(), "Matmul",
          "out is not fp32 [tokens, n]");
  const float* bias_data = bias == kNoBias ? nullptr : vector(bias, w.outputs(), "Matmul").data();
  const FlushDenormals flush;
  if (w.is_int8()) return int8_.Matmul(x, w, bias_data, out);
  RunMatmul(kernels_.matmuls.plain, x, w, bias_data, out);
}

void CpuBackend::MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) {
  const PackedMatrix& w = matrix(gate_up, MatrixKind::kGateUp, "MatmulSiluMul");
  CheckOp(x.dtype == DType::kBf16 && x.cols == w.k(), "MatmulSiluMul", "x is not bf16 [tokens, k]");
  CheckOp(out.dtype == DType::kBf16 && out.rows == x.rows && out.cols == w.outputs(), "MatmulSiluMul",
          "out is not bf16 [tokens, n / 2]");
  const FlushDenormals flush;
  if (w.is_int8()) return int8_.MatmulSiluMul(x, w, out);
  RunMatmul(kernels_.matmuls.silu_mul, x, w, nullptr, out);
}

void CpuBackend::GatherWanted(Tensor x, Tensor out) {
  const std::span<const int64_t> rows = step_.wanted_rows();
  CheckOp(x.dtype == out.dtype && x.cols == out.cols && out.rows == std::ssize(rows), "GatherWanted",
          "out does not fit x and the wanted rows");
  const int64_t size = BytesOf(x.dtype);
  for (int64_t i = 0; i < out.rows; ++i) {
    CheckOp(rows[i] >= 0 && rows[i] < x.rows, "GatherWanted", "no such row");
    std::memcpy(static_cast<std::byte*>(out.data) + i * out.stride * size,
                static_cast<const std::byte*>(x.data) + rows[i] * x.stride * size, x.cols * size);
  }
}

template <typename Body>
void CpuBackend::DealRows(int64_t rows, int64_t parts, const Body& body) {
  parts = std::min(parts, rows);
  const FlushDenormals flush;  // as every pool thread has it
  const auto take = [&](int64_t part) {
    for (int64_t row = part; row < rows; row += parts) body(row, part);
  };
  if (parts == 1) return take(0);
  pool_.Run([&](int part, int) {
    if (part < parts) take(part);
  });
}

absl::Status CpuBackend::KeepCandidates(Tensor logits, std::span<const RowNeed> needs,
                                        std::span<uint32_t> kept) {
  CheckOp(logits.dtype == DType::kF32 && logits.rows == std::ssize(needs), "KeepCandidates",
          "logits are not fp32 [needs, ids]");
  CheckOp(!candidates_.empty(), "KeepCandidates", "no rows were reserved");
  const int64_t words = RunWords(candidates_[0].ids());
  CheckOp(logits.cols >= candidates_[0].ids() && std::ssize(kept) >= logits.rows * words, "KeepCandidates",
          "fewer ids than were reserved, or fewer words");
  DealRows(logits.rows, std::ssize(candidates_), [&](int64_t row, int64_t part) {
    candidates_[part].Keep(logits.Row(row), needs[row],
                           kept.subspan(static_cast<size_t>(row * words), static_cast<size_t>(words)));
  });
  return absl::OkStatus();
}

void CpuBackend::Sample(Tensor logits, std::span<const SampleSpec* const> specs,
                        std::span<const RowRuns> runs) {
  CheckOp(logits.dtype == DType::kF32 && logits.rows == std::ssize(specs), "Sample",
          "logits are not fp32 [specs, ids]");
  CheckOp(!samplers_.empty() && logits.cols >= samplers_[0].ids(), "Sample", "fewer ids than were reserved");
  CheckOp(runs.empty() || runs.size() == specs.size(), "Sample", "not every row's runs are named");
  sampled_.resize(specs.size());
  DealRows(logits.rows, std::ssize(samplers_), [&](int64_t row, int64_t part) {
    sampled_[row] =
        samplers_[part].Sample(logits.Row(row), *specs[row], runs.empty() ? RowRuns() : runs[row]);
  });
}

absl::StatusOr<const float*> CpuBackend::ReadRows(Tensor x) {
  if (x.dtype != DType::kF32) return absl::InvalidArgumentError("ReadRows needs an fp32 tensor");
  return x.f32();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(int threads, int spin_us, const std::string& isa) {
  if (threads < 1 || threads > kMaxComputeThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", threads, "; it must be between 1 and ", kMaxComputeThreads));
  }
  if (spin_us < 0 || spin_us > kMaxSpinUs) {
    return absl::InvalidArgumentError(
        absl::StrCat("spin_us is ", spin_us, "; it must be between 0 and ", kMaxSpinUs));
  }
  QUIRE_ASSIGN_OR_RETURN(const KernelTable kernels, ChooseKernels(isa));
  auto backend = std::make_unique<CpuBackend>(kernels, threads, spin_us);
  QUIRE_RETURN_IF_ERROR(backend->Init());
  return backend;
}

}  // namespace quire::kernels::cpu
