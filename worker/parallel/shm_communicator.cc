#include "worker/parallel/shm_communicator.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "worker/parallel/rank_sum.h"

namespace quire::worker {
namespace {

using kernels::Tensor;

void CopyRows(Tensor x, int64_t first_row, int64_t rows, float* to) {
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(x.f32(first_row + row), x.cols, to + row * x.cols);
  }
}

}  // namespace

int64_t ExchangeBytesFor(int64_t max_batch_tokens, int64_t hidden, int64_t vocab_slice) {
  constexpr int64_t kFloat = sizeof(float), kLeastBytes = 1 << 20, kMostRowsBytes = 4 << 20;
  const int64_t row = std::max(hidden, vocab_slice + 1);  // a slice comes with its width
  const int64_t rows = std::clamp(max_batch_tokens * hidden * kFloat, kLeastBytes, kMostRowsBytes);
  return std::max(row * kFloat, rows);
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

// Every rank contributes a header of its width, so that rank 0 needs no table of shards: half = [cols, rows x
// cols...].
absl::Status ShmCommunicator::GatherColumns(Tensor local, Tensor out) {
  if (size() == 1) {
    for (int64_t row = 0; row < local.rows; ++row) std::copy_n(local.f32(row), local.cols, out.f32(row));
    return absl::OkStatus();
  }
  const auto capacity = static_cast<int64_t>(group_.memory().exchange(0, 0).size());
  if (local.cols + 1 > capacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("a row of ", local.cols, " floats does not fit the exchange buffer of ", capacity));
  }
  for (int64_t row = 0; row < local.rows; ++row) {
    std::span<float> half = NextHalf();
    const auto cols = static_cast<int32_t>(local.cols);
    std::memcpy(half.data(), &cols, sizeof(cols));
    if (rank() != 0) CopyRows(local, row, 1, half.data() + 1);
    QUIRE_ASSIGN_OR_RETURN(const uint32_t parity, Exchange());
    if (rank() != 0) continue;
    float* to = std::copy_n(local.f32(row), local.cols, out.f32(row));
    for (int r = 1; r < size(); ++r) {
      const float* part = group_.memory().exchange(r, parity).data();
      int32_t part_cols = 0;
      std::memcpy(&part_cols, part, sizeof(part_cols));
      to = std::copy_n(part + 1, part_cols, to);
    }
  }
  return absl::OkStatus();
}

}  // namespace quire::worker
