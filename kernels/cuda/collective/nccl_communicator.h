// The communicator of ranks whose GPUs don't reach one another's memory, on several hosts above all, over
// NCCL. NCCL moves bytes and a kernel of ours sums them, so sums have the order of every other communicator
// (worker/parallel/rank_sum.h). Calls are work of the backend's stream. They are not captured: NCCL wants the
// same steps captured by all ranks, and each rank's graphs follow its own shard. Owned beside the backend
// (kernels::Device), which goes first; the engine's thread calls it, Stop and Check any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "kernels/communicator.h"
#include "kernels/cuda/collective/nccl_life.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

struct NcclOptions {
  OpenNccl open;  // none: there is no NCCL
  // For the parts of a sum; a larger sum takes several turns.
  int64_t scratch_bytes = int64_t{8} << 20;
  // From so many on each rank sums a range and the ranges are gathered: fewer bytes cross, in two exchanges.
  // Of two ranks as many cross either way.
  int64_t ranges_from_bytes = 256 << 10;
  int64_t limit_ms = 120'000;       // for ranks to find one another, and for NCCL to take a call
  int64_t trial_limit_ms = 60'000;  // for the trial at the start, whose first messages connect ranks
};

class NcclCommunicator final : public Communicator {
 public:
  // Every rank calls it. Null on all of them, with `why` of one that can't. An error where the rendezvous has
  // one.
  static absl::StatusOr<std::unique_ptr<NcclCommunicator>> Make(Stream& stream, Rendezvous& rendezvous,
                                                                const NcclOptions& options, std::string& why);

  int rank() const override { return rank_; }
  int size() const override { return ranks_; }
  bool in_host_memory() const override { return false; }
  bool runs_ahead() const override { return true; }
  // Of dense rows whose columns are a multiple of 4.
  absl::Status AllReduceSum(Tensor x) override;
  absl::Status Gather(const ByteSpans& mine, std::span<const ByteSpans> into) override;
  absl::Status GatherColumns(Tensor x, std::span<const int64_t> columns) override;
  absl::Status Broadcast(Tensor x) override;
  absl::Status Check() const override { return life_->Check(); }
  void WhenLost(std::function<void(const absl::Status&)> tell) override { life_->WhenLost(std::move(tell)); }
  void Stop() override { life_->Stop(); }

 private:
  NcclCommunicator(Stream& stream, const Rendezvous& rendezvous, const NcclOptions& options,
                   std::unique_ptr<NcclLife> life);
  // Words of four floats.
  absl::Status SumWhole(std::byte* x, int64_t words);
  absl::Status SumByRanges(std::byte* x, int64_t words_of_range);
  void SumParts(std::byte* to, int64_t words);
  int MoveRow(const Tensor& x, int64_t row, std::span<const int64_t> columns, void* comm);

  Stream& stream_;
  const int rank_, ranks_;
  const int64_t ranges_from_bytes_;
  const int64_t most_words_;  // of a part
  const DeviceArray<std::byte> parts_;
  const std::unique_ptr<NcclLife> life_;
};

}  // namespace quire::kernels::cuda
