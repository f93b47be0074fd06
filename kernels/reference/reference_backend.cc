#include "kernels/reference/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <optional>

#include "base/core/hash.h"
#include "base/core/status.h"
#include "kernels/bf16.h"
#include "kernels/host_step.h"
#include "kernels/int8_rows.h"
#include "kernels/sampling/sampler.h"
#include "kernels/shape_check.h"

namespace quire::kernels {
namespace {

struct Matrix {
  int64_t rows = 0, k = 0;
  std::vector<uint16_t> values;  // [rows][k], of a bf16 one
  int64_t group = 0;             // else 0
  std::vector<int8_t> q;         // [rows][k]
  std::vector<float> scales;     // [rows][k / group]
};

// A row of x as a matrix's product takes it.
struct InputRow {
  InputRow(const uint16_t* x, const Matrix& w) : bf16(x) {
    if (w.group == 0) return;
    q.resize(w.k);
    scales.resize(w.k / w.group);
    QuantizeRow(x, w.k, w.group, q.data(), scales.data());
  }
  const uint16_t* bf16;
  std::vector<int8_t> q;
  std::vector<float> scales;
};

struct Rope {
  std::vector<double> inv_freq;
  double scale = 1;
};

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(bool runs_ahead) : runs_ahead_(runs_ahead) {}
  std::string family() const override { return "reference-1"; }
  bool runs_ahead() const override { return runs_ahead_; }

  absl::StatusOr<Tensor> Allocate(DType dtype, int64_t rows, int64_t cols) override;
  absl::StatusOr<MatrixId> AddMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                     int64_t leaves) override;
  absl::StatusOr<VectorId> AddVector(std::span<const float> values) override;
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale,
                                 int64_t max_positions) override;
  absl::Status CreateKvCache(const KvShape& shape) override;
  absl::Status ReserveStep(const StepLimits& limits) override {
    step_.Reserve(limits);
    if (limits.sampled_ids > 0) sampler_.emplace(limits.sampled_ids);
    candidates_.emplace(limits.part_ids);
    return absl::OkStatus();
  }
  WeightStats weight_stats() const override { return stats_; }

  void CopyBlocks(std::span<const BlockCopy> copies) override;
  StepBucket BeginStep(const StepInputs& inputs) override {
    return step_.Take(
        inputs, runs_ahead_ ? std::span<const SampledToken>(sampled_) : std::span<const SampledToken>());
  }
  absl::Status Run(const StepBucket&, absl::FunctionRef<absl::Status()> ops) override { return ops(); }
  void Embed(MatrixId table, int64_t first_row, Tensor out) override;
  void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) override;
  void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) override;
  void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) override;
  void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) override;
  void RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) override;
  void Attention(Tensor q, int64_t layer, Tensor out) override;
  void GatherWanted(Tensor x, Tensor out) override;
  absl::Status KeepCandidates(Tensor logits, std::span<const RowNeed> needs,
                              std::span<uint32_t> kept) override {
    const auto words = static_cast<size_t>(RunWords(candidates_->ids()));
    for (int64_t row = 0; row < logits.rows; ++row, kept = kept.subspan(words)) {
      candidates_->Keep(logits.Row(row), needs[row], kept.first(words));
    }
    return absl::OkStatus();
  }
  void Sample(Tensor logits, std::span<const SampleSpec* const> specs,
              std::span<const RowRuns> runs) override {
    sampled_.clear();
    for (int64_t row = 0; row < logits.rows; ++row) {
      sampled_.push_back(
          sampler_->Sample(logits.Row(row), *specs[row], runs.empty() ? RowRuns() : runs[row]));
    }
    if (!runs_ahead_) unread_.clear();
    unread_.push_back(sampled_);
  }
  absl::StatusOr<std::span<const SampledToken>> ReadSampled() override {
    CheckOp(!unread_.empty(), "ReadSampled", "nothing was sampled");
    read_ = std::move(unread_.front());
    unread_.pop_front();
    return read_;
  }
  absl::StatusOr<const float*> ReadRows(Tensor x) override { return x.f32(); }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  const Matrix& matrix(MatrixId id) const { return matrices_.at(static_cast<size_t>(id)); }
  const std::vector<float>& vector(VectorId id) const { return vectors_.at(static_cast<size_t>(id)); }
  // A head of q or k, normed where `norm` is one.
  std::vector<double> NormedHead(const float* x, VectorId norm, float eps) const;
  // K (then V) of one position: [head_dim].
  uint16_t* KvEntry(std::vector<uint16_t>& cache, int64_t layer, const SequenceRows& sequence,
                    int64_t position, int64_t head);
  void AttendOneHead(const uint16_t* q, int64_t layer, const SequenceRows& sequence, int64_t position,
                     int64_t kv_head, uint16_t* out);

  std::vector<std::unique_ptr<std::vector<std::byte>>> memory_;
  std::vector<Matrix> matrices_;
  std::vector<std::vector<float>> vectors_;
  std::vector<Rope> ropes_;
  KvShape kv_;
  HostStep step_;
  std::optional<Sampler> sampler_;
  std::optional<CandidateRuns> candidates_;
  const bool runs_ahead_;
  std::vector<SampledToken> sampled_, read_;  // by the last Sample; by the one that was read last
  std::deque<std::vector<SampledToken>> unread_;
  std::vector<uint16_t> keys_, values_;  // [layer][block][16][kv_head][head_dim]
  WeightStats stats_;
};

double DotRow(const uint16_t* x, const uint16_t* w, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += static_cast<double>(Bf16ToFloat(x[i])) * Bf16ToFloat(w[i]);
  return sum;
}

double Product(const InputRow& x, const Matrix& w, int64_t row) {
  if (w.group == 0) return DotRow(x.bf16, &w.values[row * w.k], w.k);
  const int64_t groups = w.k / w.group;
  double sum = 0;
  for (int64_t g = 0; g < groups; ++g) {
    int64_t exact = 0;
    for (int64_t i = g * w.group; i < (g + 1) * w.group; ++i) exact += int64_t{x.q[i]} * w.q[row * w.k + i];
    sum += static_cast<double>(exact) * w.scales[row * groups + g] * x.scales[g];
  }
  return sum;
}

absl::StatusOr<Tensor> ReferenceBackend::Allocate(DType dtype, int64_t rows, int64_t cols) {
  QUIRE_RETURN_IF_ERROR(CheckAllocate(dtype, rows, cols));
  const int64_t stride = cols + 3;  // padded, so that nobody relies on dense rows
  memory_.push_back(std::make_unique<std::vector<std::byte>>(rows * stride * BytesOf(dtype)));
  return Tensor{memory_.back()->data(), dtype, rows, cols, stride};
}

absl::StatusOr<MatrixId> ReferenceBackend::AddMatrix(std::span<const HostMatrix> parts, int64_t k,
                                                     MatrixKind kind, int64_t leaves) {
  Matrix matrix;
  QUIRE_ASSIGN_OR_RETURN(matrix.rows, CheckMatrix(parts, k, kind, leaves));
  matrix.k = k;
  matrix.group = parts[0].group;
  for (const HostMatrix& part : parts) {
    for (int64_t row = 0; row < part.rows; ++row) {
      if (part.format == MatrixFormat::kBf16) {
        matrix.values.insert(matrix.values.end(), part.bf16(row), part.bf16(row) + k);
        continue;
      }
      matrix.q.insert(matrix.q.end(), part.int8(row), part.int8(row) + k);
      for (int64_t g = 0; g < k / part.group; ++g) {
        matrix.scales.push_back(Bf16ToFloat(part.scales[row * (k / part.group) + g]));
      }
    }
  }
  stats_.bytes += MatrixBytes(matrix.rows, k, matrix.group);
  matrices_.push_back(std::move(matrix));
  return MatrixId(static_cast<int32_t>(matrices_.size() - 1));
}

absl::StatusOr<VectorId> ReferenceBackend::AddVector(std::span<const float> values) {
  if (values.empty()) return absl::InvalidArgumentError("a weight vector is empty");
  vectors_.emplace_back(values.begin(), values.end());
  stats_.bytes += std::ssize(values) * 4;
  return VectorId(static_cast<int32_t>(vectors_.size() - 1));
}

absl::StatusOr<RopeId> ReferenceBackend::AddRope(std::span<const double> inv_freq, double scale,
                                                 int64_t max_positions) {
  QUIRE_RETURN_IF_ERROR(CheckRope(inv_freq, scale, max_positions));
  ropes_.push_back({{inv_freq.begin(), inv_freq.end()}, scale});
  return RopeId(static_cast<int32_t>(ropes_.size() - 1));
}

absl::Status ReferenceBackend::CreateKvCache(const KvShape& shape) {
  QUIRE_RETURN_IF_ERROR(CheckKvShape(shape));
  kv_ = shape;
  const int64_t size = shape.layers * shape.blocks * kBlockTokens * shape.kv_heads * shape.head_dim;
  keys_.assign(size, 0);
  values_.assign(size, 0);
  return absl::OkStatus();
}

void ReferenceBackend::CopyBlocks(std::span<const BlockCopy> copies) {
  const int64_t size = kBlockTokens * kv_.kv_heads * kv_.head_dim;
  for (const auto& [from, to] : copies) {
    for (int64_t layer = 0; layer < kv_.layers; ++layer) {
      for (std::vector<uint16_t>* cache : {&keys_, &values_}) {
        const auto first = cache->begin() + layer * kv_.blocks * size;
        std::copy_n(first + from * size, size, first + to * size);
      }
    }
  }
}

void ReferenceBackend::Embed(MatrixId table, int64_t first_row, Tensor out) {
  const Matrix& rows = matrix(table);
  const std::span<const int32_t> ids = step_.ids();
  for (size_t i = 0; i < ids.size(); ++i) {
    const int64_t row = ids[i] - first_row;
    for (int64_t c = 0; c < rows.k; ++c) {
      const bool mine = row >= 0 && row < rows.rows;
      out.f32(i)[c] = mine ? Bf16ToFloat(rows.values[row * rows.k + c]) : 0.0f;
    }
  }
}

void ReferenceBackend::RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) {
  const std::vector<float>& scale = vector(weight);
  for (int64_t row = 0; row < x.rows; ++row) {
    const float* in = x.f32(row);
    double sum = 0;
    for (int64_t i = 0; i < x.cols; ++i) sum += static_cast<double>(in[i]) * in[i];
    const double inverse = 1 / std::sqrt(sum / static_cast<double>(x.cols) + eps);
    for (int64_t i = 0; i < x.cols; ++i) {
      out.bf16(row)[i] = FloatToBf16(static_cast<float>(in[i] * inverse * scale[i]));
    }
  }
}

void ReferenceBackend::AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) {
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t i = 0; i < x.cols; ++i) x.f32(row)[i] += delta.f32(row)[i];
  }
  RmsNorm(x, weight, eps, out);
}

void ReferenceBackend::Matmul(Tensor x, MatrixId id, VectorId bias, Tensor out) {
  const Matrix& w = matrix(id);
  for (int64_t row = 0; row < x.rows; ++row) {
    const InputRow input(x.bf16(row), w);
    for (int64_t n = 0; n < w.rows; ++n) {
      const double sum = Product(input, w, n);
      out.f32(row)[n] = static_cast<float>(bias == kNoBias ? sum : sum + vector(bias)[n]);
    }
  }
}

void ReferenceBackend::MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) {
  const Matrix& w = matrix(gate_up);
  const int64_t half = w.rows / 2;
  for (int64_t row = 0; row < x.rows; ++row) {
    const InputRow input(x.bf16(row), w);
    for (int64_t n = 0; n < half; ++n) {
      const double gate = Product(input, w, n), up = Product(input, w, half + n);
      out.bf16(row)[n] = FloatToBf16(static_cast<float>(gate / (1 + std::exp(-gate)) * up));
    }
  }
}

uint16_t* ReferenceBackend::KvEntry(std::vector<uint16_t>& cache, int64_t layer, const SequenceRows& sequence,
                                    int64_t position, int64_t head) {
  const int64_t block = sequence.blocks[position / kBlockTokens];
  const int64_t slot = (layer * kv_.blocks + block) * kBlockTokens + position % kBlockTokens;
  return &cache.at((slot * kv_.kv_heads + head) * kv_.head_dim);
}

std::vector<double> ReferenceBackend::NormedHead(const float* x, VectorId norm, float eps) const {
  std::vector<double> head(x, x + kv_.head_dim);
  if (norm == kNoNorm) return head;
  double sum = 0;
  for (const double value : head) sum += value * value;
  const double inverse = 1 / std::sqrt(sum / static_cast<double>(kv_.head_dim) + eps);
  for (int64_t i = 0; i < kv_.head_dim; ++i) head[i] *= inverse * vector(norm).at(i);
  return head;
}

void ReferenceBackend::RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) {
  const int64_t dim = kv_.head_dim, half = dim / 2;
  for (const SequenceRows& sequence : step_.sequences()) {
    const Rope& rope = ropes_.at(static_cast<size_t>(sequence.rope));
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t row = sequence.first_row + i, position = sequence.position + i;
      for (int64_t head = 0; head < kv_.query_heads + 2 * kv_.kv_heads; ++head) {
        const int64_t kv_head = head - kv_.query_heads;
        const VectorId norm = kv_head < 0 ? norms.q : kv_head < kv_.kv_heads ? norms.k : kNoNorm;
        const std::vector<double> in = NormedHead(qkv.f32(row) + head * dim, norm, norms.eps);
        uint16_t* to = kv_head < 0 ? q_out.bf16(row) + head * dim
                       : kv_head < kv_.kv_heads
                           ? KvEntry(keys_, layer, sequence, position, kv_head)
                           : KvEntry(values_, layer, sequence, position, kv_head - kv_.kv_heads);
        const bool rotated = kv_head < kv_.kv_heads;
        for (int64_t j = 0; j < dim; ++j) {
          const double angle = static_cast<double>(position) * rope.inv_freq[j % half];
          const double cosine = std::cos(angle) * rope.scale, sine = std::sin(angle) * rope.scale;
          const double other = j < half ? -in[j + half] : in[j - half];
          to[j] = FloatToBf16(static_cast<float>(rotated ? in[j] * cosine + other * sine : in[j]));
        }
      }
    }
  }
}

void ReferenceBackend::AttendOneHead(const uint16_t* q, int64_t layer, const SequenceRows& sequence,
                                     int64_t position, int64_t kv_head, uint16_t* out) {
  const int64_t dim = kv_.head_dim;
  std::vector<double> weights(position + 1);
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t p = 0; p <= position; ++p) {
    weights[p] = DotRow(q, KvEntry(keys_, layer, sequence, p, kv_head), dim) / std::sqrt(dim);
    highest = std::max(highest, weights[p]);
  }
  std::vector<double> sum(dim);
  double total = 0;
  for (int64_t p = 0; p <= position; ++p) {
    const double weight = std::exp(weights[p] - highest);
    total += weight;
    const uint16_t* value = KvEntry(values_, layer, sequence, p, kv_head);
    for (int64_t i = 0; i < dim; ++i) sum[i] += weight * Bf16ToFloat(value[i]);
  }
  for (int64_t i = 0; i < dim; ++i) out[i] = FloatToBf16(static_cast<float>(sum[i] / total));
}

void ReferenceBackend::Attention(Tensor q, int64_t layer, Tensor out) {
  const int64_t group = kv_.query_heads / kv_.kv_heads;
  for (const SequenceRows& sequence : step_.sequences()) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const int64_t row = sequence.first_row + i;
      for (int64_t head = 0; head < kv_.query_heads; ++head) {
        AttendOneHead(q.bf16(row) + head * kv_.head_dim, layer, sequence, sequence.position + i, head / group,
                      out.bf16(row) + head * kv_.head_dim);
      }
    }
  }
}

void ReferenceBackend::GatherWanted(Tensor x, Tensor out) {
  const std::span<const int64_t> rows = step_.wanted_rows();
  const int64_t bytes = BytesOf(x.dtype);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(static_cast<std::byte*>(out.data) + i * out.stride * bytes,
                static_cast<const std::byte*>(x.data) + rows[i] * x.stride * bytes, x.cols * bytes);
  }
}

}  // namespace

std::unique_ptr<Backend> MakeReferenceBackend(bool runs_ahead) {
  return std::make_unique<ReferenceBackend>(runs_ahead);
}

}  // namespace quire::kernels
