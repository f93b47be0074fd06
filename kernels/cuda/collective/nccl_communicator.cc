#include "kernels/cuda/collective/nccl_communicator.h"

#include <algorithm>

#include "base/core/status.h"
#include "kernels/cuda/collective/rank_order.h"
#include "kernels/cuda/collective/requests.h"
#include "kernels/cuda/collective/same_for_all.h"

namespace quire::kernels::cuda {

NcclCommunicator::NcclCommunicator(Stream& stream, const Rendezvous& rendezvous, const NcclOptions& options,
                                   std::unique_ptr<NcclLife> life)
    : stream_(stream),
      rank_(rendezvous.rank()),
      ranks_(rendezvous.size()),
      ranges_from_bytes_(options.ranges_from_bytes),
      most_words_(std::max<int64_t>(1, options.scratch_bytes / 16 / rendezvous.size())),
      parts_(stream, static_cast<size_t>(most_words_ * 16 * rendezvous.size())),
      life_(std::move(life)) {}

absl::StatusOr<std::unique_ptr<NcclCommunicator>> NcclCommunicator::Make(Stream& stream,
                                                                         Rendezvous& rendezvous,
                                                                         const NcclOptions& options,
                                                                         std::string& why) {
  NcclCalls calls;
  if (options.open == nullptr) {
    calls.missing = "there is no NCCL here";
  } else {
    calls = options.open();
  }
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<NcclLife> life,
                         NcclLife::Join(std::move(calls), rendezvous, options.limit_ms, why));
  if (life == nullptr) return nullptr;
  auto made =
      std::unique_ptr<NcclCommunicator>(new NcclCommunicator(stream, rendezvous, options, std::move(life)));
  QUIRE_ASSIGN_OR_RETURN(why, FirstWord(stream.Synchronize(), rendezvous));
  if (!why.empty()) return nullptr;
  return made;
}

absl::Status NcclCommunicator::AllReduceSum(Tensor x) {
  QUIRE_RETURN_IF_ERROR(CheckSummed(x));
  auto* at = static_cast<std::byte*>(x.data);
  int64_t words = x.rows * x.cols / 4;
  const bool by_ranges = ranks_ > 2 && words * 16 >= ranges_from_bytes_;
  while (words > 0) {
    int64_t summed = std::min(words, most_words_);
    if (by_ranges && words >= ranks_) {
      const int64_t range = std::min(words / ranks_, most_words_);
      summed = range * ranks_;
      QUIRE_RETURN_IF_ERROR(SumByRanges(at, range));
    } else {
      QUIRE_RETURN_IF_ERROR(SumWhole(at, summed));
    }
    at += summed * 16;
    words -= summed;
  }
  return absl::OkStatus();
}

absl::Status NcclCommunicator::SumWhole(std::byte* x, int64_t words) {
  QUIRE_RETURN_IF_ERROR(life_->Run(
      [&](void* comm) { return life_->calls().all_gather(x, parts_.data(), words * 16, comm, stream_); }));
  SumParts(x, words);
  return absl::OkStatus();
}

absl::Status NcclCommunicator::SumByRanges(std::byte* x, int64_t words_of_range) {
  const int64_t bytes = words_of_range * 16;
  const NcclCalls& calls = life_->calls();
  std::byte* const mine = x + rank_ * bytes;
  QUIRE_RETURN_IF_ERROR(life_->Run([&](void* comm) {
    int result = kNcclDone;
    for (int rank = 0; rank < ranks_ && NcclTook(result); ++rank) {  // to itself, too
      result = calls.send(x + rank * bytes, bytes, rank, comm, stream_);
      if (NcclTook(result)) result = calls.receive(parts_.data() + rank * bytes, bytes, rank, comm, stream_);
    }
    return result;
  }));
  SumParts(mine, words_of_range);
  return life_->Run([&](void* comm) { return calls.all_gather(mine, x, bytes, comm, stream_); });
}

void NcclCommunicator::SumParts(std::byte* to, int64_t words) {
  constexpr int kMostBlocks = 128;
  // It starts when NCCL's kernels have ended, which say nothing earlier.
  Launch<SumPartsKernel>(stream_, {BlocksFor<SumPartsKernel>(words, kMostBlocks)}, 0,
                         {parts_.data(), to, ranks_, static_cast<int>(words)});
}

absl::Status NcclCommunicator::Gather(const ByteSpans&, std::span<const ByteSpans>) {
  return absl::UnimplementedError("ranks on GPUs gather columns");
}

absl::Status NcclCommunicator::GatherColumns(Tensor x, std::span<const int64_t> columns) {
  QUIRE_RETURN_IF_ERROR(CheckGathered(x, rank_, columns));
  // A row of a rank is a message, and a group is bounded.
  const int64_t rows_at_once = std::max(1, 512 / ranks_);
  for (int64_t first = 0; first < x.rows; first += rows_at_once) {
    const int64_t end = std::min(first + rows_at_once, x.rows);
    QUIRE_RETURN_IF_ERROR(life_->Run([&](void* comm) {
      int result = kNcclDone;
      for (int64_t row = first; row < end && NcclTook(result); ++row) {
        result = MoveRow(x, row, columns, comm);
      }
      return result;
    }));
  }
  return absl::OkStatus();
}

absl::Status NcclCommunicator::Broadcast(Tensor x) {
  QUIRE_RETURN_IF_ERROR(CheckBroadcast(x));
  const int64_t bytes = x.cols * static_cast<int64_t>(sizeof(float));
  if (bytes == 0) return absl::OkStatus();
  const NcclCalls& calls = life_->calls();
  return life_->Run([&](void* comm) {
    if (rank_ > 0) return calls.receive(x.data, bytes, 0, comm, stream_);
    int result = kNcclDone;
    for (int rank = 1; rank < ranks_ && NcclTook(result); ++rank) {
      result = calls.send(x.data, bytes, rank, comm, stream_);
    }
    return result;
  });
}

int NcclCommunicator::MoveRow(const Tensor& x, int64_t row, std::span<const int64_t> columns, void* comm) {
  constexpr int64_t kBytes = sizeof(float);
  float* const at = static_cast<float*>(x.data) + row * x.stride;
  if (rank_ > 0) {
    const int64_t mine = columns[rank_];
    return mine == 0 ? kNcclDone : life_->calls().send(at, mine * kBytes, 0, comm, stream_);
  }
  int result = kNcclDone;
  int64_t begin = columns[0];
  for (int rank = 1; rank < ranks_ && NcclTook(result); begin += columns[rank++]) {
    if (columns[rank] == 0) continue;
    result = life_->calls().receive(at + begin, columns[rank] * kBytes, rank, comm, stream_);
  }
  return result;
}

}  // namespace quire::kernels::cuda
