#include "worker/parallel/tcp/tcp_communicator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/core/status.h"
#include "worker/parallel/byte_spans.h"
#include "worker/parallel/rank_sum.h"

namespace quire::worker {
namespace {

using kernels::ByteSpans;
using kernels::Tensor;

// Up to here the time through the network is longer than that of the bytes.
constexpr size_t kFewBytes = 64 << 10;

void Copy(std::span<const float> from, float* to) { std::copy_n(from.data(), from.size(), to); }

}  // namespace

TcpCommunicator::TcpCommunicator(TcpLiveness& group, std::vector<Link> links, int64_t exchange_bytes,
                                 int64_t spin_us)
    : group_(group),
      links_(std::move(links)),
      chunk_floats_(std::max<size_t>(1, static_cast<size_t>(exchange_bytes) / sizeof(float))),
      spin_us_(spin_us) {}

absl::Status TcpCommunicator::Exchange() {
  group_.CountExchange();
  group_.Enter(Phase::kExchanging);
  const absl::Status moved = group_.Move(pieces_, spin_us_);
  pieces_.clear();
  QUIRE_RETURN_IF_ERROR(moved);
  group_.Enter(Phase::kComputing);
  return absl::OkStatus();
}

absl::Status TcpCommunicator::AllReduceSum(Tensor x) {
  if (size() == 1) return absl::OkStatus();
  const auto rows = static_cast<size_t>(x.rows), cols = static_cast<size_t>(x.cols);
  const bool apart = x.stride != x.cols && x.rows > 1;
  std::span<float> whole(x.f32(), rows * cols);
  if (apart) {
    packed_.resize(rows * cols);
    whole = packed_;
    for (size_t row = 0; row < rows; ++row)
      Copy({x.f32(static_cast<int64_t>(row)), cols}, &whole[row * cols]);
  }
  for (size_t first = 0; first < whole.size(); first += chunk_floats_) {
    QUIRE_RETURN_IF_ERROR(SumChunk(whole.subspan(first, std::min(chunk_floats_, whole.size() - first))));
  }
  if (!apart) return absl::OkStatus();
  for (size_t row = 0; row < rows; ++row)
    Copy(whole.subspan(row * cols, cols), x.f32(static_cast<int64_t>(row)));
  return absl::OkStatus();
}

absl::Status TcpCommunicator::SumChunk(std::span<float> mine) {
  return size() == 2 || mine.size_bytes() <= kFewBytes ? SumWhole(mine) : SumByRanges(mine);
}

absl::Status TcpCommunicator::SumWhole(std::span<float> mine) {
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) pieces_.push_back({&link(r), AsBytes(mine), AsBytes(PartOf(r, mine.size()))});
  }
  QUIRE_RETURN_IF_ERROR(Exchange());
  SumParts(mine);
  return absl::OkStatus();
}

absl::Status TcpCommunicator::SumByRanges(std::span<float> mine) {
  const Range own = RangeOf(rank(), mine.size());
  for (int r = 0; r < size(); ++r) {
    const Range theirs = RangeOf(r, mine.size());
    if (r == rank()) continue;
    pieces_.push_back(
        {&link(r), AsBytes(mine.subspan(theirs.begin, theirs.count)), AsBytes(PartOf(r, own.count))});
  }
  QUIRE_RETURN_IF_ERROR(Exchange());
  const std::span<float> sums = mine.subspan(own.begin, own.count);
  SumParts(sums);
  for (int r = 0; r < size(); ++r) {
    const Range theirs = RangeOf(r, mine.size());
    if (r != rank())
      pieces_.push_back({&link(r), AsBytes(sums), AsBytes(mine.subspan(theirs.begin, theirs.count))});
  }
  return Exchange();
}

TcpCommunicator::Range TcpCommunicator::RangeOf(int rank, size_t count) const {
  const auto ranks = static_cast<size_t>(size()), r = static_cast<size_t>(rank);
  const size_t begin = count * r / ranks;
  return {begin, count * (r + 1) / ranks - begin};
}

std::span<float> TcpCommunicator::PartOf(int rank, size_t count) {
  const auto others = static_cast<size_t>(size() - 1);
  if (parts_.size() < others * count) parts_.resize(others * count);
  const auto place = static_cast<size_t>(rank < this->rank() ? rank : rank - 1);
  return std::span(parts_).subspan(place * count, count);
}

// A block of columns at a time, which stays in the first cache.
void TcpCommunicator::SumParts(std::span<float> mine) {
  constexpr size_t kBlock = 1024;
  std::array<float, kBlock> sum;
  std::array<const float*, kMaxRanks> parts;
  for (int r = 0; r < size(); ++r) {
    parts[static_cast<size_t>(r)] = r == rank() ? mine.data() : PartOf(r, mine.size()).data();
  }
  for (size_t first = 0; first < mine.size(); first += kBlock) {
    const size_t count = std::min(kBlock, mine.size() - first);
    SumRanks({parts.data(), static_cast<size_t>(size())}, static_cast<int64_t>(count), sum.data());
    std::copy_n(sum.data(), count, mine.data() + first);
    for (int r = 0; r < size(); ++r) parts[static_cast<size_t>(r)] += count;
  }
}

absl::Status TcpCommunicator::Gather(const ByteSpans& mine, std::span<const ByteSpans> into) {
  if (size() == 1) return absl::OkStatus();
  return rank() == 0 ? Receive(into) : Send(mine);
}

// How many bytes they are, and they.
absl::Status TcpCommunicator::Send(const ByteSpans& spans) {
  const uint64_t all = TotalBytes(spans);
  packed_bytes_.resize(sizeof(all));
  std::memcpy(packed_bytes_.data(), &all, sizeof(all));
  const auto flush = [&]() -> absl::Status {
    pieces_.push_back({&link(0), packed_bytes_, {}});
    QUIRE_RETURN_IF_ERROR(Exchange());
    packed_bytes_.clear();
    return absl::OkStatus();
  };
  for (const std::span<uint8_t> span : spans) {
    if (packed_bytes_.size() + span.size() > kFewBytes) QUIRE_RETURN_IF_ERROR(flush());
    if (span.size() <= kFewBytes) {
      packed_bytes_.insert(packed_bytes_.end(), span.begin(), span.end());
      continue;
    }
    pieces_.push_back({&link(0), span, {}});
    QUIRE_RETURN_IF_ERROR(Exchange());
  }
  return flush();
}

absl::Status TcpCommunicator::Receive(std::span<const ByteSpans> into) {
  std::array<uint64_t, kMaxRanks> sent{};
  for (int r = 1; r < size(); ++r) {
    auto* head = reinterpret_cast<uint8_t*>(&sent[static_cast<size_t>(r)]);
    pieces_.push_back({&link(r), {}, {head, sizeof(uint64_t)}});
  }
  QUIRE_RETURN_IF_ERROR(Exchange());
  size_t most = 0;
  for (size_t r = 1; r < into.size(); ++r) {
    const size_t expected = TotalBytes(into[r]);
    if (sent[r] != expected) return GatherMismatch(static_cast<int>(r), sent[r], expected);
    most = std::max(most, into[r].size());
  }
  for (size_t i = 0; i < most; ++i) {
    for (size_t r = 1; r < into.size(); ++r) {
      if (i < into[r].size()) pieces_.push_back({&link(static_cast<int>(r)), {}, into[r][i]});
    }
    QUIRE_RETURN_IF_ERROR(Exchange());
  }
  return absl::OkStatus();
}

}  // namespace quire::worker
