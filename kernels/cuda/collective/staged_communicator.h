// The communicator of ranks on GPUs that neither reach one another's memory nor have NCCL, on one host or on
// several: tensors go through the host's memory and the group's own exchange, so their sums are the same.
// Every call waits for the stream, and can't be captured. Owned beside the backend, which owns the stream;
// the engine's thread calls it.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/communicator.h"
#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(Stream& stream, std::unique_ptr<Communicator> host)
      : stream_(stream), host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  bool in_host_memory() const override { return false; }
  absl::Status AllReduceSum(Tensor x) override;
  absl::Status Gather(const ByteSpans& mine, std::span<const ByteSpans> into) override;
  absl::Status GatherColumns(Tensor x, std::span<const int64_t> columns) override;

 private:
  // The tensor in the host's memory, once all before has run; good until the next call.
  absl::StatusOr<Tensor> Fetch(Tensor x);
  absl::Status Return(Tensor host, Tensor x);

  Stream& stream_;
  const std::unique_ptr<Communicator> host_;
  std::vector<float> rows_;
};

}  // namespace quire::kernels::cuda
