// The communicator between hosts: fp32 parts cross on a link between every two ranks. Sums are taken element
// by element in rank_sum.h's order, so they are the shared-memory communicator's to the bit. Of few bytes (or
// of two ranks) each rank sends its part to every other and sums all: one way through the network. Of many
// each rank sums one range of all parts and sends the sums on: two ways, but fewer bytes over each link.
// Tensors go from and to their own memory, row by row, all rows of an exchange at once; others' parts that
// are to be added get room when it is made, and nothing grows later. Used by the engine thread only.
#pragma once

#include <vector>

#include "kernels/communicator.h"
#include "worker/parallel/tcp/tcp_liveness.h"

namespace quire::worker {

class TcpCommunicator final : public kernels::Communicator {
 public:
  // Up to `exchange_bytes` of a sum's tensor cross at a time. `group` outlives this; it has the links.
  TcpCommunicator(TcpLiveness& group, int64_t exchange_bytes, int64_t spin_us);
  // What one of `ranks` keeps for it.
  static int64_t BytesFor(int ranks, int64_t exchange_bytes);
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  absl::Status AllReduceSum(kernels::Tensor x) override;
  absl::Status Gather(const kernels::ByteSpans& mine, std::span<const kernels::ByteSpans> into) override;

 private:
  // `count` floats of a tensor, as if its rows had no gaps between them, from its float `first` on.
  struct Floats {
    kernels::Tensor x;
    size_t first = 0, count = 0;
  };
  static InBytes Bytes(const Floats& floats);
  static Floats WholeOf(kernels::Tensor x) { return {x, 0, static_cast<size_t>(x.rows * x.cols)}; }
  // All of them become the sum.
  absl::Status SumChunk(const Floats& mine);
  absl::Status SumWhole(const Floats& mine);
  absl::Status SumByRanges(const Floats& mine);
  Floats RangeOf(int rank, const Floats& of) const;
  // Room for another rank's part, where each is of `count` floats.
  std::span<float> PartOf(int rank, size_t count);
  InBytes RoomFor(int rank, size_t count);
  // mine = the sum of all parts in rank_sum.h's order; this rank's own is what `mine` holds.
  void SumParts(const Floats& mine);
  absl::Status Send(const kernels::ByteSpans& spans);
  absl::Status Receive(std::span<const kernels::ByteSpans> into);
  // Of each link, both directions; then nothing is left in pieces_.
  absl::Status Exchange();
  Link& link(int rank) { return group_.exchange()[static_cast<size_t>(rank)]; }

  TcpLiveness& group_;
  const size_t chunk_floats_;
  const int64_t spin_us_;
  std::vector<float> parts_;           // others' parts, one after another
  std::vector<uint8_t> packed_bytes_;  // of small spans that are sent together
  std::vector<Piece> pieces_;
};

}  // namespace quire::worker
