// Going through the places that a Gather names, in pieces of any size. Pure; each rank's engine thread has
// its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/communicator.h"

namespace quire::worker {

template <typename T>
std::span<uint8_t> AsBytes(std::span<T> values) {
  return {reinterpret_cast<uint8_t*>(values.data()), values.size_bytes()};
}

// What a rank sends is not what rank 0 expects of it.
inline absl::Status GatherMismatch(int rank, size_t sent, size_t expected) {
  return absl::InternalError(
      absl::StrCat("rank ", rank, " sends ", sent, " bytes and rank 0 expects ", expected));
}

inline size_t TotalBytes(const kernels::ByteSpans& spans) {
  return std::accumulate(spans.begin(), spans.end(), size_t{0},
                         [](size_t sum, std::span<uint8_t> span) { return sum + span.size(); });
}

class ByteCursor {
 public:
  // The spans outlive it.
  explicit ByteCursor(const kernels::ByteSpans& spans) : spans_(spans), left_(TotalBytes(spans)) {}
  size_t left() const { return left_; }
  // The next bytes; no more than are left.
  void CopyTo(std::span<uint8_t> to) {
    Walk(to.size(),
         [&](uint8_t* here, size_t done, size_t count) { std::memcpy(to.data() + done, here, count); });
  }
  void FillFrom(std::span<const uint8_t> from) {
    Walk(from.size(),
         [&](uint8_t* here, size_t done, size_t count) { std::memcpy(here, from.data() + done, count); });
  }

 private:
  template <typename Move>
  void Walk(size_t bytes, const Move& move) {
    left_ -= bytes;
    for (size_t done = 0; done < bytes;) {
      const std::span<uint8_t> rest = spans_[span_].subspan(at_);
      const size_t count = std::min(bytes - done, rest.size());
      if (count > 0) move(rest.data(), done, count);  // memcpy must not be given null
      done += count;
      at_ += count;
      if (count == rest.size()) {
        ++span_;
        at_ = 0;
      }
    }
  }

  const kernels::ByteSpans& spans_;
  size_t span_ = 0, at_ = 0, left_;
};

}  // namespace quire::worker
