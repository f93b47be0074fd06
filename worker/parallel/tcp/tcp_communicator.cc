#include "worker/parallel/tcp/tcp_communicator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/core/status.h"
#include "kernels/shape_check.h"
#include "worker/parallel/byte_spans.h"
#include "worker/parallel/rank_sum.h"

namespace quire::worker {
namespace {

using kernels::ByteSpans;
using kernels::Tensor;

// Up to here the time through the network is longer than that of the bytes.
constexpr size_t kFewBytes = 64 << 10, kFewFloats = kFewBytes / sizeof(float);

size_t FloatsOf(int64_t exchange_bytes) {
  return std::max<size_t>(1, static_cast<size_t>(exchange_bytes) / sizeof(float));
}

// Of the parts of all others: whole ones, or one range of each.
size_t PartFloats(size_t ranks, size_t chunk_floats) {
  if (ranks == 1) return 0;
  if (ranks == 2) return chunk_floats;
  return (ranks - 1) * std::max(std::min(chunk_floats, kFewFloats), (chunk_floats + ranks - 1) / ranks);
}

}  // namespace

TcpCommunicator::TcpCommunicator(TcpLiveness& group, int64_t exchange_bytes, int64_t spin_us)
    : group_(group),
      chunk_floats_(FloatsOf(exchange_bytes)),
      spin_us_(spin_us),
      parts_(PartFloats(static_cast<size_t>(group.size()), chunk_floats_)) {
  packed_bytes_.reserve(size() == 1 ? 0 : kFewBytes);
  pieces_.reserve(static_cast<size_t>(size()));
}

int64_t TcpCommunicator::BytesFor(int ranks, int64_t exchange_bytes) {
  if (ranks == 1) return 0;
  const size_t floats = PartFloats(static_cast<size_t>(ranks), FloatsOf(exchange_bytes));
  return static_cast<int64_t>(floats * sizeof(float) + kFewBytes);
}

InBytes TcpCommunicator::Bytes(const Floats& floats) {
  const auto bytes_of = [](auto count) { return static_cast<size_t>(count) * sizeof(float); };
  return {static_cast<uint8_t*>(floats.x.data), bytes_of(floats.x.cols), bytes_of(floats.x.stride),
          bytes_of(floats.first), bytes_of(floats.count)};
}

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
  const Floats whole = WholeOf(x);
  for (size_t first = 0; first < whole.count; first += chunk_floats_) {
    QUIRE_RETURN_IF_ERROR(SumChunk({x, first, std::min(chunk_floats_, whole.count - first)}));
  }
  return absl::OkStatus();
}

absl::Status TcpCommunicator::SumChunk(const Floats& mine) {
  return size() == 2 || mine.count <= kFewFloats ? SumWhole(mine) : SumByRanges(mine);
}

absl::Status TcpCommunicator::SumWhole(const Floats& mine) {
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) pieces_.push_back({&link(r), Bytes(mine), RoomFor(r, mine.count)});
  }
  QUIRE_RETURN_IF_ERROR(Exchange());
  SumParts(mine);
  return absl::OkStatus();
}

absl::Status TcpCommunicator::SumByRanges(const Floats& mine) {
  const Floats own = RangeOf(rank(), mine);
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) pieces_.push_back({&link(r), Bytes(RangeOf(r, mine)), RoomFor(r, own.count)});
  }
  QUIRE_RETURN_IF_ERROR(Exchange());
  SumParts(own);
  for (int r = 0; r < size(); ++r) {
    if (r != rank()) pieces_.push_back({&link(r), Bytes(own), Bytes(RangeOf(r, mine))});
  }
  return Exchange();
}

TcpCommunicator::Floats TcpCommunicator::RangeOf(int rank, const Floats& of) const {
  const auto ranks = static_cast<size_t>(size()), r = static_cast<size_t>(rank);
  const size_t begin = of.count * r / ranks;
  return {of.x, of.first + begin, of.count * (r + 1) / ranks - begin};
}

std::span<float> TcpCommunicator::PartOf(int rank, size_t count) {
  kernels::CheckOp(static_cast<size_t>(size() - 1) * count <= parts_.size(), "AllReduceSum",
                   "parts of more floats than there is room for");
  const auto place = static_cast<size_t>(rank < this->rank() ? rank : rank - 1);
  return std::span(parts_).subspan(place * count, count);
}

InBytes TcpCommunicator::RoomFor(int rank, size_t count) {
  const std::span<float> part = PartOf(rank, count);
  return {reinterpret_cast<uint8_t*>(part.data()), part.size_bytes()};
}

// A block of columns at a time, which stays in the first cache.
void TcpCommunicator::SumParts(const Floats& mine) {
  constexpr size_t kBlock = 1024;
  std::array<float, kBlock> sum;
  std::array<const float*, kMaxRanks> parts;
  for (int r = 0; r < size(); ++r) {
    parts[static_cast<size_t>(r)] = r == rank() ? nullptr : PartOf(r, mine.count).data();
  }
  for (InBytes rest = Bytes(mine); !rest.empty();) {
    auto* own = reinterpret_cast<float*>(rest.front().data());
    const size_t count = std::min(kBlock, rest.front().size() / sizeof(float));
    parts[static_cast<size_t>(rank())] = own;
    SumRanks({parts.data(), static_cast<size_t>(size())}, static_cast<int64_t>(count), sum.data());
    std::copy_n(sum.data(), count, own);
    rest.Skip(count * sizeof(float));
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
    pieces_.push_back({&link(0), {packed_bytes_.data(), packed_bytes_.size()}, {}});
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
    pieces_.push_back({&link(0), {span.data(), span.size()}, {}});
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
