#include "kernels/cuda/collective/staged_communicator.h"

#include "base/core/status.h"

namespace quire::kernels::cuda {
namespace {

absl::Status OfStream(Stream& stream) {
  const std::string error = stream.Synchronize();
  return error.empty() ? absl::OkStatus() : absl::InternalError("the GPU: " + error);
}

}  // namespace

absl::StatusOr<Tensor> StagedCommunicator::Fetch(Tensor x) {
  if (x.dtype != DType::kF32) return absl::InternalError("ranks exchange fp32");
  rows_.resize(static_cast<size_t>(x.rows * x.stride));
  if (!rows_.empty()) CopyToHost(stream_, rows_.data(), x.data, rows_.size() * sizeof(float));
  QUIRE_RETURN_IF_ERROR(OfStream(stream_));
  return Tensor{rows_.data(), DType::kF32, x.rows, x.cols, x.stride};
}

absl::Status StagedCommunicator::Return(Tensor host, Tensor x) {
  const size_t bytes = static_cast<size_t>(x.rows * x.stride) * sizeof(float);
  if (bytes > 0) CopyToDevice(stream_, x.data, host.data, bytes);
  return OfStream(stream_);
}

absl::Status StagedCommunicator::AllReduceSum(Tensor x) {
  QUIRE_ASSIGN_OR_RETURN(const Tensor host, Fetch(x));
  QUIRE_RETURN_IF_ERROR(host_->AllReduceSum(host));
  return Return(host, x);
}

absl::Status StagedCommunicator::Gather(const ByteSpans& mine, std::span<const ByteSpans> into) {
  return host_->Gather(mine, into);
}

absl::Status StagedCommunicator::GatherColumns(Tensor x, std::span<const int64_t> columns) {
  QUIRE_ASSIGN_OR_RETURN(const Tensor host, Fetch(x));
  QUIRE_RETURN_IF_ERROR(host_->GatherColumns(host, columns));
  return rank() == 0 ? Return(host, x) : absl::OkStatus();
}

}  // namespace quire::kernels::cuda
