// The communicator between hosts: fp32 parts cross on a link between every two ranks. Sums are taken element
// by element in rank_sum.h's order, so they are the shared-memory communicator's to the bit. Of few bytes (or
// of two ranks) each rank sends its part to every other and sums all: one way through the network. Of many
// each rank sums one range of all parts and sends the sums on: two ways, but fewer bytes over each link.
// Tensors go from and to their own memory where their rows stand one after another. Used by the engine thread
// only.
#pragma once

#include <vector>

#include "kernels/communicator.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpCommunicator final : public kernels::Communicator {
 public:
  // `links` by the peers' ranks. Up to `exchange_bytes` of a tensor cross at a time. `group` outlives this.
  TcpCommunicator(TcpLiveness& group, std::vector<Link> links, int64_t exchange_bytes, int64_t spin_us);
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::Status AllReduceSum(kernels::Tensor x) override;
  absl::Status Gather(const kernels::ByteSpans& mine, std::span<const kernels::ByteSpans> into) override;

 private:
  struct Range {
    size_t begin = 0, count = 0;
  };
  // All of one rank's `count` floats become the sum.
  absl::Status SumChunk(std::span<float> mine);
  absl::Status SumWhole(std::span<float> mine);
  absl::Status SumByRanges(std::span<float> mine);
  Range RangeOf(int rank, size_t count) const;
  // Every other rank's part, of `count` floats, gets room.
  std::span<float> PartOf(int rank, size_t count);
  // mine = the sum of all parts in rank_sum.h's order; this rank's own is what `mine` holds.
  void SumParts(std::span<float> mine);
  absl::Status Send(const kernels::ByteSpans& spans);
  absl::Status Receive(std::span<const kernels::ByteSpans> into);
  // Of each link, both directions; then nothing is left in pieces_.
  absl::Status Exchange();
  Link& link(int rank) { return links_[static_cast<size_t>(rank)]; }

  TcpLiveness& group_;
  std::vector<Link> links_;
  const size_t chunk_floats_;
  const int64_t spin_us_;
  std::vector<float> parts_;           // others' parts, one after another
  std::vector<float> packed_;          // of a tensor whose rows are apart
  std::vector<uint8_t> packed_bytes_;  // of small spans that are sent together
  std::vector<Piece> pieces_;
};

}  // namespace quire::worker
