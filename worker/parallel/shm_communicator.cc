#include "worker/parallel/shm_communicator.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/byte_spans.h"
#include "worker/parallel/rank_sum.h"

namespace quire::worker {
namespace {

using kernels::ByteSpans;
using kernels::Tensor;

// Of a Gather, at a time: so few that rank 0 reads them from a cache, while the others write the next ones.
constexpr size_t kGatherBytes = 256 << 10;

void CopyRows(Tensor x, int64_t first_row, int64_t rows, float* to) {
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(x.f32(first_row + row), x.cols, to + row * x.cols);
  }
}

}  // namespace

int64_t ExchangeBytesFor(int64_t max_batch_tokens, int64_t hidden) {
  constexpr int64_t kFloat = sizeof(float), kLeastBytes = 1 << 20, kMostRowsBytes = 4 << 20;
  const int64_t rows = std::clamp(max_batch_tokens * hidden * kFloat, kLeastBytes, kMostRowsBytes);
  return std::max(hidden * kFloat, rows);
}

absl::StatusOr<uint32_t> ShmCommunicator::Exchange() {
  ++exchanges_;
  group_.CountExchange();
  group_.Enter(Phase::kExchanging);
  group_.slot(rank()).exchange.Advance();
  for (int r = 0; r < size(); ++r) {
    QUIRE_RETURN_IF_ERROR(group_.Await(group_.slot(r).exchange, exchanges_));
  }
  group_.Enter(Phase::kComputing);
  return exchanges_ & 1;
}

absl::Status ShmCommunicator::AllReduceSum(Tensor x) {
  if (size() == 1) return absl::OkStatus();
  const auto capacity = static_cast<int64_t>(group_.memory().exchange(0, 0).size());
  const int64_t chunk_rows = capacity / x.cols;
  if (chunk_rows == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a row of ", x.cols, " floats does not fit the exchange buffer of ", capacity));
  }
  for (int64_t first = 0; first < x.rows; first += chunk_rows) {
    const int64_t rows = std::min(chunk_rows, x.rows - first);
    CopyRows(x, first, rows, NextHalf().data());
    QUIRE_ASSIGN_OR_RETURN(const uint32_t parity, Exchange());
    const float* parts[kMaxRanks];
    for (int r = 0; r < size(); ++r) parts[r] = group_.memory().exchange(r, parity).data();
    for (int64_t row = 0; row < rows; ++row) {
      SumRanks({parts, static_cast<size_t>(size())}, x.cols, x.f32(first + row));
      for (int r = 0; r < size(); ++r) parts[r] += x.cols;
    }
  }
  return absl::OkStatus();
}

// Every rank's half begins with how many bytes it sends in all, so that all make the same exchanges.
absl::Status ShmCommunicator::Gather(const ByteSpans& mine, std::span<const ByteSpans> into) {
  if (size() == 1) return absl::OkStatus();
  const uint64_t all = TotalBytes(mine);
  if (NextHalf().size_bytes() <= sizeof(all))
    return absl::InvalidArgumentError("the exchange buffer is tiny");
  const size_t piece = std::min(kGatherBytes, NextHalf().size_bytes() - sizeof(all));
  ByteCursor from(mine);
  std::vector<ByteCursor> to(into.begin(), into.end());
  uint64_t most = 1;
  for (uint64_t begin = 0; begin < most; begin += piece) {
    const std::span<uint8_t> half = AsBytes(NextHalf());
    std::memcpy(half.data(), &all, sizeof(all));
    from.CopyTo(half.subspan(sizeof(all), std::min(piece, from.left())));
    QUIRE_ASSIGN_OR_RETURN(const uint32_t parity, Exchange());
    for (int r = 1; r < size(); ++r) {
      const std::span<const uint8_t> theirs = AsBytes(group_.memory().exchange(r, parity));
      uint64_t sent = 0;
      std::memcpy(&sent, theirs.data(), sizeof(sent));
      most = std::max(most, sent);
      if (rank() != 0) continue;
      if (begin == 0 && sent != to[r].left()) return GatherMismatch(r, sent, to[r].left());
      to[r].FillFrom(theirs.subspan(sizeof(sent), std::min(piece, to[r].left())));
    }
  }
  return absl::OkStatus();
}

}  // namespace quire::worker
