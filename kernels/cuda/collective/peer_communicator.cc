#include "kernels/cuda/collective/peer_communicator.h"

#include <algorithm>
#include <atomic>

#include "base/core/status.h"
#include "kernels/cuda/collective/all_reduce.h"
#include "kernels/cuda/collective/broadcast.h"
#include "kernels/cuda/collective/gather_columns.h"
#include "kernels/cuda/collective/requests.h"
#include "kernels/cuda/collective/same_for_all.h"

namespace quire::kernels::cuda {
PeerCommunicator::PeerCommunicator(Stream& stream, const Rendezvous& rendezvous, const PeerOptions& options)
    : stream_(stream),
      options_(options),
      memory_(stream, PeerLinks::MemoryBytes(options.half_bytes)),
      turns_(stream, kPeerBlocks),
      stop_(static_cast<uint32_t*>(AllocatePinned(stream, sizeof(uint32_t))), &FreePinned) {
  if (turns_.data() != nullptr) QueueClear(stream, turns_.data(), kPeerBlocks * sizeof(uint32_t));
  if (stop_ != nullptr) *stop_ = 0;
  links_.turns = turns_.data();
  links_.stop = stop_.get();
  links_.rank = rendezvous.rank();
  links_.ranks = rendezvous.size();
  links_.half_bytes = options.half_bytes;
}

absl::StatusOr<std::unique_ptr<PeerCommunicator>> PeerCommunicator::Make(Stream& stream,
                                                                         Rendezvous& rendezvous,
                                                                         const PeerOptions& options,
                                                                         std::string& why) {
  if (rendezvous.size() > kMaxPeers) {
    why = "more than " + std::to_string(kMaxPeers) + " ranks";
    return nullptr;
  }
  auto made = std::unique_ptr<PeerCommunicator>(new PeerCommunicator(stream, rendezvous, options));
  std::string error = stream.Synchronize();
  const std::string& handle = made->memory_.handle();
  QUIRE_ASSIGN_OR_RETURN(const auto handles,
                         rendezvous.AllGather(error.empty() && !options.apart ? handle : ""));
  if (error.empty()) made->Open(handles);
  if (error.empty()) error = stream.Synchronize();
  QUIRE_ASSIGN_OR_RETURN(why, FirstWord(error, rendezvous));
  if (!why.empty()) return nullptr;
  return made;
}

void PeerCommunicator::Open(const std::vector<std::string>& handles) {
  for (int r = 0; r < size(); ++r) {
    if (r == links_.rank) {
      links_.memory[r] = memory_.data();
      continue;
    }
    others_.push_back(
        std::make_unique<PeerView>(stream_, handles[r], PeerLinks::MemoryBytes(options_.half_bytes)));
    links_.memory[r] = others_.back()->data();
  }
}

int64_t PeerCommunicator::RangesFrom(const PeerOptions& options, int ranks) {
  constexpr int64_t kNever = int64_t{1} << 60;  // of two, each reads as much either way
  if (options.ranges_from_bytes > 0) return options.ranges_from_bytes;
  if (ranks <= 2) return kNever;
  return ranks <= 4 ? 512 << 10 : 256 << 10;
}

absl::Status PeerCommunicator::AllReduceSum(Tensor x) {
  QUIRE_RETURN_IF_ERROR(CheckSummed(x));
  const int64_t words = x.rows * x.cols / 4;
  if (words == 0) return absl::OkStatus();
  Launch<AllReduceKernel>(
      stream_, {BlocksFor<AllReduceKernel>(words, options_.most_blocks)}, PeerTurns::kSharedBytes,
      {links_, static_cast<float*>(x.data), words, words * 16 >= RangesFrom(options_, size())},
      Order::kOverlapping);
  return absl::OkStatus();
}

absl::Status PeerCommunicator::Gather(const ByteSpans&, std::span<const ByteSpans>) {
  return absl::UnimplementedError("ranks on GPUs gather columns");
}

absl::Status PeerCommunicator::GatherColumns(Tensor x, std::span<const int64_t> columns) {
  QUIRE_RETURN_IF_ERROR(CheckGathered(x, rank(), columns));
  GatherColumnsKernel::Params params = {
      links_, static_cast<float*>(x.data), x.stride, static_cast<int>(x.rows), {}};
  int64_t most = 0;
  for (int r = 0; r < size(); ++r) {
    params.begin[r + 1] = params.begin[r] + static_cast<int>(columns[r]);
    if (r > 0) most = std::max(most, columns[r] * x.rows);
  }
  if (most == 0) return absl::OkStatus();
  Launch<GatherColumnsKernel>(stream_, {BlocksFor<GatherColumnsKernel>(most / 4, options_.most_blocks)},
                              PeerTurns::kSharedBytes, params, Order::kOverlapping);
  return absl::OkStatus();
}

absl::Status PeerCommunicator::Broadcast(Tensor x) {
  QUIRE_RETURN_IF_ERROR(CheckBroadcast(x));
  if (x.cols == 0) return absl::OkStatus();
  Launch<BroadcastKernel>(stream_, {}, PeerTurns::kSharedBytes,
                          {links_, static_cast<uint32_t*>(x.data), static_cast<int>(x.cols)});
  return absl::OkStatus();
}

absl::Status PeerCommunicator::Check() const {
  if (std::atomic_ref(*stop_).load(std::memory_order_acquire) == 0) return absl::OkStatus();
  return absl::UnavailableError("the wait for other ranks on the GPUs was stopped");
}

void PeerCommunicator::Stop() { std::atomic_ref(*stop_).store(1, std::memory_order_release); }

}  // namespace quire::kernels::cuda
