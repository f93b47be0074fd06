// The communicator between processes of one host: fp32 parts cross in the group's shared exchange buffer, two
// halves used in turn. Before an exchange each rank copies its part into its half and raises its word; then
// it waits for all words and reads all parts in rank order. A half is written again two exchanges later, when
// every peer's next word proves that it was read: so one wait per exchange suffices. Used by the engine
// thread only.
#pragma once

#include "kernels/communicator.h"
#include "worker/parallel/shm_liveness.h"

namespace quire::worker {

// Bytes of a rank's half of the exchange buffer that hold any one row of `hidden` floats, and a batch's rows
// at once as far as that is of use: more go in several exchanges, as does what is gathered.
int64_t ExchangeBytesFor(int64_t max_batch_tokens, int64_t hidden);

class ShmCommunicator final : public kernels::Communicator {
 public:
  // `group` outlives the communicator.
  explicit ShmCommunicator(ShmLiveness& group) : group_(group) {}
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::Status AllReduceSum(kernels::Tensor x) override;
  absl::Status Gather(const kernels::ByteSpans& mine, std::span<const kernels::ByteSpans> into) override;

 private:
  // Publishes this rank's half and waits for every rank's; the parity to read is returned.
  absl::StatusOr<uint32_t> Exchange();
  std::span<float> NextHalf() { return group_.memory().exchange(rank(), (exchanges_ + 1) & 1); }

  ShmLiveness& group_;
  uint32_t exchanges_ = 0;  // made so far; equal on all ranks
};

}  // namespace quire::worker
