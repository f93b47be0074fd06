// The communicator of ranks on GPUs of one host that reach one another's memory: its calls are kernels on the
// backend's stream, which may be captured. Sums have the order of every other communicator
// (worker/parallel/rank_sum.h). Owned beside the backend (kernels::Device), which owns the stream and
// goes first; the engine's thread calls it. Always: all ranks make the same calls.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/collective/peer_links.h"
#include "kernels/cuda/device/device.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

struct PeerOptions {
  int half_bytes = 128 << 10;  // of a block's data; a multiple of 16
  // Few where ranks share a device: blocks that wait must leave room for those that they wait for.
  int most_blocks = kPeerBlocks;
  // From so many on each rank sums a range: two meetings cost less then than to read everybody's all. 0: what
  // suits the number of ranks.
  int64_t ranges_from_bytes = 0;
  bool apart = false;  // as if ranks were on several hosts, for tests; one alone exchanges with itself then
};

class PeerCommunicator final : public Communicator {
 public:
  // Every rank calls it. Null on all of them, with `why` of one that can't, where some rank doesn't reach
  // another's memory. An error where the rendezvous has one.
  static absl::StatusOr<std::unique_ptr<PeerCommunicator>> Make(Stream& stream, Rendezvous& rendezvous,
                                                                const PeerOptions& options, std::string& why);

  int rank() const override { return links_.rank; }
  int size() const override { return links_.ranks; }
  bool in_host_memory() const override { return false; }
  bool may_be_captured() const override { return true; }
  bool runs_ahead() const override { return true; }
  // Of dense rows whose columns are a multiple of 4.
  absl::Status AllReduceSum(Tensor x) override;
  absl::Status Gather(const ByteSpans& mine, std::span<const ByteSpans> into) override;
  absl::Status GatherColumns(Tensor x, std::span<const int64_t> columns) override;
  absl::Status Broadcast(Tensor x) override;
  absl::Status Check() const override;
  void Stop() override;

  // Of a sum that is by ranges.
  static int64_t RangesFrom(const PeerOptions& options, int ranks);

 private:
  PeerCommunicator(Stream& stream, const Rendezvous& rendezvous, const PeerOptions& options);
  void Open(const std::vector<std::string>& handles);

  Stream& stream_;
  const PeerOptions options_;
  PeerMemory memory_;
  std::vector<std::unique_ptr<PeerView>> others_;
  DeviceArray<uint32_t> turns_;
  std::unique_ptr<uint32_t, void (*)(void*)> stop_;
  PeerLinks links_ = {};
};

}  // namespace quire::kernels::cuda
