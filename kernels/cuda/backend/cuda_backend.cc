#include "kernels/cuda/backend/cuda_backend.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/backend/device_matmuls.h"
#include "kernels/cuda/backend/device_sampler.h"
#include "kernels/cuda/backend/device_step.h"
#include "kernels/cuda/backend/device_weights.h"
#include "kernels/cuda/backend/gpu_choice.h"
#include "kernels/cuda/backend/steps_in_flight.h"
#include "kernels/cuda/collective/device_communicator.h"
#include "kernels/cuda/kv_pages.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/rows.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cuda {
namespace {

static_assert(kPageKeys == kBlockTokens);

// Larger steps take so long that launching their kernels one by one costs nothing.
constexpr int64_t kMostCapturedTokens = 64;
constexpr size_t kMostGraphs = 128;

absl::Status OfGpu(absl::string_view error) { return absl::InternalError(absl::StrCat("the GPU: ", error)); }

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm, const std::string& where,
              bool captures, int load_threads)
      : own_stream_(std::move(stream)),
        stream_(*own_stream_),
        matmuls_(std::move(gemm)),
        family_("cuda-bf16-1-" + where),
        captures_(captures),
        weights_(load_threads),
        step_(stream_),
        in_flight_(stream_) {}

  std::string family() const override { return family_; }
  bool runs_ahead() const override { return true; }

  absl::StatusOr<Tensor> Allocate(DType dtype, int64_t rows, int64_t cols) override;
  absl::StatusOr<MatrixId> AddMatrix(std::span<const HostMatrix> parts, int64_t k, MatrixKind kind,
                                     int64_t leaves) override {
    stream_.MakeCurrent();
    return Queued(weights_.AddMatrix(stream_, parts, k, kind, leaves));
  }
  absl::StatusOr<VectorId> AddVector(std::span<const float> values) override {
    stream_.MakeCurrent();
    return Queued(weights_.AddVector(stream_, values));
  }
  absl::StatusOr<RopeId> AddRope(std::span<const double> inv_freq, double scale,
                                 int64_t max_positions) override {
    return weights_.AddRope(inv_freq, scale, max_positions);
  }
  absl::Status CreateKvCache(const KvShape& shape) override;
  absl::Status ReserveStep(const StepLimits& limits) override;
  absl::Status PrepareMatmuls(std::span<const StepMatmul> matmuls) override {
    stream_.MakeCurrent();
    matmuls_.Prepare(stream_, weights_, matmuls);
    return Wait();
  }
  WeightStats weight_stats() const override { return {weights_.bytes()}; }
  void CopyBlocks(std::span<const BlockCopy> copies) override;

  StepBucket BeginStep(const StepInputs& inputs) override;
  absl::Status Run(const StepBucket& bucket, absl::FunctionRef<absl::Status()> ops) override;
  void Embed(MatrixId table, int64_t first_row, Tensor out) override;
  void RmsNorm(Tensor x, VectorId weight, float eps, Tensor out) override {
    NormRows(x, nullptr, weight, eps, out);
  }
  void AddRmsNorm(Tensor x, Tensor delta, VectorId weight, float eps, Tensor out) override {
    CheckOp(delta.rows == x.rows && delta.cols == x.cols, "AddRmsNorm", "delta is not as x is");
    NormRows(x, Dense<float>(delta, "AddRmsNorm"), weight, eps, out);
  }
  void Matmul(Tensor x, MatrixId matrix, VectorId bias, Tensor out) override;
  void MatmulSiluMul(Tensor x, MatrixId gate_up, Tensor out) override;
  void RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) override;
  void Attention(Tensor q, int64_t layer, Tensor out) override;
  void GatherWanted(Tensor x, Tensor out) override;
  absl::Status KeepCandidates(Tensor logits, std::span<const RowNeed> needs,
                              std::span<uint32_t> kept) override;
  void Sample(Tensor logits, std::span<const SampleSpec* const> specs,
              std::span<const RowRuns> runs) override;
  Tensor sampled_ids() const override {
    const int64_t rows = limits_.wanted_rows;
    return {samples() ? sampler_.ids() : told_ids_.data(), DType::kF32, 1, rows, rows};
  }
  absl::StatusOr<std::span<const SampledToken>> ReadSampled() override;
  absl::StatusOr<const float*> ReadRows(Tensor x) override;
  absl::Status Finish() override;

 private:
  const float* head_norm(VectorId id) const {
    return id == kNoNorm ? nullptr : weights_.vector(id, kv_.head_dim, "RopeAndStore");
  }
  // One block more than the cache has is for rows that fill a step up.
  int64_t LayerElements() const {
    return PageOffset(static_cast<int>(kv_.blocks) + 1, kv_heads(), 0, head_dim());
  }
  uint16_t* pages(int64_t layer) const { return kv_pages_.data() + layer * LayerElements(); }
  int kv_heads() const { return static_cast<int>(kv_.kv_heads); }
  int head_dim() const { return static_cast<int>(kv_.head_dim); }
  void NormRows(Tensor x, const float* delta, VectorId weight, float eps, Tensor out);
  bool samples() const { return sampler_.reserved_rows() > 0; }
  // Ropes are added one by one. Graphs read the table that was.
  void UploadRopes() {
    if (weights_.UploadRopes(stream_)) graphs_.clear();
  }
  absl::Status RunOrReplay(const StepBucket& bucket, absl::FunctionRef<absl::Status()> ops);
  // What the stream has been told so far, which stays for the end of the step. What a launch shows is of this
  // step; a fault of the device may be of the one in flight.
  absl::Status Recorded() {
    const std::string error = stream_.TakeError();
    stream_.Record(error);
    return error.empty() ? absl::OkStatus() : OfGpu(error);
  }
  // What went wrong on the device since the last call: it does not go away.
  absl::Status Wait();
  absl::Status Taken(std::string error);
  // What was added: its copies run while more is read.
  template <typename Id>
  absl::StatusOr<Id> Queued(absl::StatusOr<Id> added) {
    if (const absl::Status queued = Taken(stream_.TakeError()); added.ok() && !queued.ok()) return queued;
    return added;
  }

  const std::unique_ptr<Stream> own_stream_;
  Stream& stream_;
  DeviceMatmuls matmuls_;
  const std::string family_;
  const bool captures_;
  std::vector<DeviceArray<std::byte>> memory_;
  DeviceWeights weights_;
  KvShape kv_;
  DeviceArray<uint16_t> kv_pages_;  // [layer], of each kv_pages.h's
  StepLimits limits_;
  DeviceStep step_;
  // Of steps that came before: null where only once.
  std::map<StepKey, std::unique_ptr<Graph>> graphs_;
  DeviceSampler sampler_;
  DeviceArray<int32_t> told_ids_;  // that rank 0 sampled, on another one; [wanted_rows]
  StepsInFlight in_flight_;
  std::vector<float> read_rows_;  // what ReadRows returned last
  absl::Status failure_;
};

absl::StatusOr<Tensor> CudaBackend::Allocate(DType dtype, int64_t rows, int64_t cols) {
  QUIRE_RETURN_IF_ERROR(CheckAllocate(dtype, rows, cols));
  stream_.MakeCurrent();
  // Rows that kernels go over are multiples of 8 as they are; others (logits) begin at 16 bytes, too.
  const int64_t stride = (cols + 7) / 8 * 8;
  const auto bytes = static_cast<size_t>(rows * stride * BytesOf(dtype));
  memory_.emplace_back(stream_, bytes);
  if (memory_.back().data() != nullptr) QueueClear(stream_, memory_.back().data(), bytes);
  QUIRE_RETURN_IF_ERROR(Wait());
  return Tensor{memory_.back().data(), dtype, rows, cols, stride};
}

absl::Status CudaBackend::CreateKvCache(const KvShape& shape) {
  QUIRE_RETURN_IF_ERROR(CheckKvShape(shape));
  if (kv_.layers != 0) return absl::FailedPreconditionError("there is a KV cache already");
  if (const std::string why = WhyNoAttention(shape.head_dim); !why.empty()) {
    return absl::InvalidArgumentError(why + ": serve this model with --backend cpu");
  }
  stream_.MakeCurrent();
  kv_ = shape;
  kv_pages_ = DeviceArray<uint16_t>(stream_, shape.layers * LayerElements());
  QUIRE_RETURN_IF_ERROR(Wait());
  step_.Reserve(stream_, limits_, kv_);
  return Wait();
}

absl::Status CudaBackend::ReserveStep(const StepLimits& limits) {
  stream_.MakeCurrent();
  weights_.EndLoading(stream_);
  QUIRE_RETURN_IF_ERROR(Wait());
  if (const std::string why = WhyNoSampling(limits.sampled_ids); !why.empty()) {
    return absl::InvalidArgumentError(why);
  }
  limits_ = limits;
  in_flight_.Forget();
  graphs_.clear();  // of buffers that are no more
  step_.Reserve(stream_, limits_, kv_);
  sampler_ = DeviceSampler();
  if (limits.sampled_ids > 0 && limits.wanted_rows > 0) {
    sampler_.Reserve(stream_, limits.wanted_rows, limits.sampled_ids);
  }
  told_ids_ = DeviceArray<int32_t>();
  if (!samples() && limits.wanted_rows > 0) told_ids_ = DeviceArray<int32_t>(stream_, limits.wanted_rows);
  matmuls_.Reserve(stream_, weights_, limits.tokens);
  UploadRopes();
  return Wait();
}

void CudaBackend::CopyBlocks(std::span<const BlockCopy> copies) {
  stream_.MakeCurrent();
  const int64_t block = PageOffset(1, kv_heads(), 0, head_dim());
  for (const auto& [from, to] : copies) {
    CheckOp(from >= 0 && from < kv_.blocks && to >= 0 && to < kv_.blocks && from != to, "CopyBlocks",
            "no such copy");
    for (int64_t layer = 0; layer < kv_.layers; ++layer) {
      QueueCopyOnDevice(stream_, pages(layer) + to * block, pages(layer) + from * block, block * 2);
    }
  }
}

StepBucket CudaBackend::BeginStep(const StepInputs& inputs) {
  stream_.MakeCurrent();
  UploadRopes();
  return step_.Take(stream_, inputs, weights_.ropes(), static_cast<const int32_t*>(sampled_ids().data),
                    samples() ? sampler_.rows() : limits_.wanted_rows);
}

// A launch that failed is told here, not only when the step is read: other ranks go on with nonsense.
absl::Status CudaBackend::Run(const StepBucket& bucket, absl::FunctionRef<absl::Status()> ops) {
  QUIRE_RETURN_IF_ERROR(RunOrReplay(bucket, ops));
  return Recorded();
}

// The first time a kind of step is run as it is: kernels are loaded, and a library chooses for what nobody
// named. The second time it is captured.
absl::Status CudaBackend::RunOrReplay(const StepBucket& bucket, absl::FunctionRef<absl::Status()> ops) {
  if (!captures_ || bucket.tokens > kMostCapturedTokens || bucket.tokens == 0) return ops();
  if (graphs_.size() >= kMostGraphs && !graphs_.contains(step_.key())) graphs_.clear();
  const auto [found, first] = graphs_.try_emplace(step_.key());
  if (first) return ops();
  std::unique_ptr<Graph>& graph = found->second;
  absl::Status issued;
  if (graph == nullptr) {
    QUIRE_RETURN_IF_ERROR(Recorded());  // it would be taken for the capture's
    graph = std::make_unique<Graph>(stream_, [&](Stream&) { issued = ops(); });
    if (!issued.ok()) {
      graphs_.erase(found);  // it holds a part
      return issued;
    }
    if (!graph->error().empty()) Log(LogLevel::kWarn, "no_graph", "reason", graph->error());
  }
  if (!graph->error().empty()) return ops();
  graph->Launch(stream_);
  return absl::OkStatus();
}

void CudaBackend::Embed(MatrixId table, int64_t first_row, Tensor out) {
  const DeviceMatrix& rows = weights_.matrix(table, MatrixKind::kPlain, "Embed");
  CheckOp(out.rows == step_.tokens() && out.cols == rows.k, "Embed", "out is not [tokens, k]");
  if (out.rows == 0) return;
  // The first kernel of a step starts when all before it has ended.
  cuda::Embed(stream_, static_cast<int>(out.rows),
              {rows.weights.data(), step_.ids(), static_cast<int>(first_row), static_cast<int>(rows.rows),
               static_cast<int>(rows.k), Dense<float>(out, "Embed")});
}

void CudaBackend::NormRows(Tensor x, const float* delta, VectorId weight, float eps, Tensor out) {
  CheckOp(out.rows == x.rows && out.cols == x.cols, "RmsNorm", "out is not as x is");
  CheckOp(x.cols % 8 == 0, "RmsNorm", "rows are of no multiple of 8");
  if (x.rows == 0) return;
  cuda::AddRmsNorm<float>(stream_, static_cast<int>(x.rows),
                          {Dense<float>(x, "RmsNorm"), delta, weights_.vector(weight, x.cols, "RmsNorm"),
                           Dense<uint16_t>(out, "RmsNorm"), static_cast<int>(x.cols), eps},
                          Order::kOverlapping);
}

void CudaBackend::Matmul(Tensor x, MatrixId id, VectorId bias, Tensor out) {
  CheckOp(out.dtype == DType::kF32, "Matmul", "out is not fp32");
  const DeviceMatrix& weights = weights_.matrix(id, MatrixKind::kPlain, "Matmul");
  const float* values = bias == kNoBias ? nullptr : weights_.vector(bias, weights.rows, "Matmul");
  matmuls_.Run(stream_, x, weights, values, out);
}

void CudaBackend::MatmulSiluMul(Tensor x, MatrixId id, Tensor out) {
  matmuls_.RunSiluMul(stream_, x, weights_.matrix(id, MatrixKind::kGateUp, "MatmulSiluMul"), out);
}

void CudaBackend::RopeAndStore(Tensor qkv, int64_t layer, const HeadNorms& norms, Tensor q_out) {
  const int64_t width = (kv_.query_heads + 2 * kv_.kv_heads) * kv_.head_dim;
  CheckOp(layer >= 0 && layer < kv_.layers, "RopeAndStore", "no such layer");
  CheckOp(qkv.rows == step_.tokens() && qkv.cols == width, "RopeAndStore", "qkv is not the step's");
  CheckOp(q_out.rows == qkv.rows && q_out.cols == kv_.query_heads * kv_.head_dim, "RopeAndStore",
          "q_out is not the step's");
  CheckOp(step_.covered(), "RopeAndStore", "a row is of no sequence");
  if (qkv.rows == 0) return;
  cuda::RopeAndStore<float>(
      stream_, static_cast<int>(qkv.rows),
      {Dense<float>(qkv, "RopeAndStore"), nullptr, weights_.rope_table(), step_.rope_rows(), step_.kv_slots(),
       Dense<uint16_t>(q_out, "RopeAndStore"), pages(layer), static_cast<int>(kv_.query_heads), kv_heads(),
       head_dim(), head_norm(norms.q), head_norm(norms.k), norms.eps},
      Order::kOverlapping);
}

void CudaBackend::Attention(Tensor q, int64_t layer, Tensor out) {
  CheckOp(layer >= 0 && layer < kv_.layers, "Attention", "no such layer");
  CheckOp(q.rows == step_.tokens() && q.cols == kv_.query_heads * kv_.head_dim, "Attention",
          "q is not the step's");
  CheckOp(out.rows == q.rows && out.cols == q.cols, "Attention", "out is not as q is");
  if (q.rows == 0) return;
  AttentionParams params = step_.attention();
  params.q = Dense<uint16_t>(q, "Attention");
  params.pages = pages(layer);
  params.out = Dense<uint16_t>(out, "Attention");
  params.scale_log2 = AttentionScaleLog2(head_dim());
  cuda::Attention(stream_, head_dim(), params, step_.work());
}

void CudaBackend::GatherWanted(Tensor x, Tensor out) {
  CheckOp(x.rows == step_.tokens() && out.rows == step_.wanted(), "GatherWanted", "not the step's rows");
  CheckOp(x.dtype == out.dtype && x.cols == out.cols && x.stride == out.stride, "GatherWanted",
          "out's rows are not as x's");
  if (out.rows == 0) return;
  GatherRows(stream_, static_cast<int>(out.rows),
             {static_cast<const Word128*>(x.data), step_.wanted_rows(), static_cast<Word128*>(out.data),
              static_cast<int>(x.stride * BytesOf(x.dtype) / 16)},
             Order::kOverlapping);
}

absl::Status CudaBackend::KeepCandidates(Tensor, std::span<const RowNeed>, std::span<uint32_t>) {
  return absl::UnimplementedError("ranks on GPUs send whole rows");
}

void CudaBackend::Sample(Tensor logits, std::span<const SampleSpec* const> specs,
                         std::span<const RowRuns> runs) {
  CheckOp(std::ranges::all_of(runs, &RowRuns::empty), "Sample",
          "a GPU samples from whole rows, not from runs");
  CheckOp(logits.rows <= sampler_.reserved_rows() && std::ssize(specs) == logits.rows, "Sample",
          "more rows than were reserved, or not a spec for each");
  CheckOp(logits.rows == 0 || (logits.dtype == DType::kF32 && logits.cols >= sampler_.reserved_ids()),
          "Sample", "rows are not fp32, or shorter than the ids");
  stream_.MakeCurrent();
  sampler_.Enqueue(stream_, in_flight_.NextPlace(), logits.f32(), logits.stride, specs);
  in_flight_.End(stream_);
}

absl::StatusOr<std::span<const SampledToken>> CudaBackend::ReadSampled() {
  auto [place, error] = in_flight_.Land(stream_);
  QUIRE_RETURN_IF_ERROR(Taken(std::move(error)));
  return sampler_.TakeTokens(place);
}

absl::StatusOr<const float*> CudaBackend::ReadRows(Tensor x) {
  CheckOp(x.dtype == DType::kF32, "ReadRows", "x is not fp32");
  read_rows_.resize(x.rows * x.stride);
  if (x.rows > 0) CopyToHost(stream_, read_rows_.data(), x.data, read_rows_.size() * sizeof(float));
  QUIRE_RETURN_IF_ERROR(Wait());
  return read_rows_.data();
}

absl::Status CudaBackend::Finish() { return Wait(); }

absl::Status CudaBackend::Wait() {
  Taken(in_flight_.FirstError()).IgnoreError();
  return Taken(stream_.Synchronize());
}

absl::Status CudaBackend::Taken(std::string error) {
  if (failure_.ok() && !error.empty()) failure_ = OfGpu(error);
  return failure_;
}

}  // namespace

std::unique_ptr<Backend> MakeCudaBackend(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                         const std::string& where, bool captures, int load_threads) {
  return std::make_unique<CudaBackend>(std::move(stream), std::move(gemm), where, captures, load_threads);
}

absl::StatusOr<Device> MakeCudaDevice(std::unique_ptr<Stream> stream, std::unique_ptr<Gemm> gemm,
                                      const std::string& where, Rendezvous& rendezvous,
                                      const PeerOptions& options, const NcclOptions& nccl, int load_threads) {
  Device device;
  QUIRE_ASSIGN_OR_RETURN(device.communicator, MakeDeviceCommunicator(*stream, rendezvous, options, nccl));
  const bool captures = rendezvous.size() == 1 || device.communicator->may_be_captured();
  device.backend = MakeCudaBackend(std::move(stream), std::move(gemm), where, captures, load_threads);
  return device;
}

}  // namespace quire::kernels::cuda
