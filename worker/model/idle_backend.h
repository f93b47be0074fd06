// For tests: a backend that computes nothing and a place among ranks that exchange nothing, for what is about
// the calls and not about the numbers.
#pragma once

#include <span>
#include <string>

#include "kernels/backend.h"
#include "kernels/communicator.h"

namespace quire::worker {

class IdleBackend : public kernels::Backend {
 public:
  using Tensor = kernels::Tensor;
  using VectorId = kernels::VectorId;
  using MatrixId = kernels::MatrixId;

  absl::StatusOr<Tensor> Allocate(kernels::DType dtype, int64_t rows, int64_t cols) override {
    return Tensor{nullptr, dtype, rows, cols, cols};
  }
  std::string family() const override { return "idle"; }
  absl::StatusOr<MatrixId> AddMatrix(std::span<const kernels::HostMatrix>, int64_t, kernels::MatrixKind,
                                     int64_t) override {
    return MatrixId{};
  }
  absl::StatusOr<VectorId> AddVector(std::span<const float>) override { return VectorId{}; }
  absl::StatusOr<kernels::RopeId> AddRope(std::span<const double>, double, int64_t) override {
    return kernels::RopeId{};
  }
  absl::Status CreateKvCache(const kernels::KvShape&) override { return absl::OkStatus(); }
  kernels::WeightStats weight_stats() const override { return {}; }
  absl::Status ReserveStep(const kernels::StepLimits&) override { return absl::OkStatus(); }
  void CopyBlocks(std::span<const kernels::BlockCopy>) override {}
  kernels::StepBucket BeginStep(const kernels::StepInputs&) override { return {}; }
  absl::Status Run(const kernels::StepBucket&, absl::FunctionRef<absl::Status()> ops) override {
    return ops();
  }
  void Embed(MatrixId, int64_t, Tensor) override {}
  void RmsNorm(Tensor, VectorId, float, Tensor) override {}
  void AddRmsNorm(Tensor, Tensor, VectorId, float, Tensor) override {}
  void Matmul(Tensor, MatrixId, VectorId, Tensor) override {}
  void MatmulSiluMul(Tensor, MatrixId, Tensor) override {}
  void RopeAndStore(Tensor, int64_t, const kernels::HeadNorms&, Tensor) override {}
  void Attention(Tensor, int64_t, Tensor) override {}
  void GatherWanted(Tensor, Tensor) override {}
  absl::Status KeepCandidates(Tensor, std::span<const kernels::RowNeed>, std::span<uint32_t>) override {
    return absl::OkStatus();
  }
  void Sample(Tensor, std::span<const kernels::SampleSpec* const>,
              std::span<const kernels::RowRuns>) override {}
  absl::StatusOr<std::span<const kernels::SampledToken>> ReadSampled() override {
    return std::span<const kernels::SampledToken>();
  }
  absl::StatusOr<const float*> ReadRows(Tensor) override { return nullptr; }
  absl::Status Finish() override { return absl::OkStatus(); }
};

class IdlePlace : public kernels::Communicator {
 public:
  IdlePlace(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status AllReduceSum(kernels::Tensor) override { return absl::OkStatus(); }
  absl::Status Gather(const kernels::ByteSpans&, std::span<const kernels::ByteSpans>) override {
    return absl::OkStatus();
  }

 private:
  const int rank_, size_;
};

}  // namespace quire::worker
