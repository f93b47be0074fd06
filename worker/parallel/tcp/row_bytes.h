// What is left to move of bytes that stand in rows with gaps between them, as a tensor's do, and that cross
// as if there were none: so that they cross from and to where they are. A value; the bytes are the caller's.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace quire::worker {

template <typename Byte>  // uint8_t, or const uint8_t where they are only read
class RowBytes {
 public:
  RowBytes() = default;
  RowBytes(Byte* data, size_t count) : RowBytes(data, count, count, 0, count) {}
  RowBytes(std::span<Byte> bytes) : RowBytes(bytes.data(), bytes.size()) {}
  template <typename Other>
  RowBytes(const RowBytes<Other>& other) requires(std::is_same_v<const Other, Byte>)
      : row_(other.row_),
        row_bytes_(other.row_bytes_),
        stride_bytes_(other.stride_bytes_),
        in_row_(other.in_row_),
        left_(other.left_) {}
  // Of rows of `row_bytes` that begin `stride_bytes` apart: `count` bytes, from their byte `first` on.
  RowBytes(Byte* data, size_t row_bytes, size_t stride_bytes, size_t first, size_t count)
      : row_(data), row_bytes_(row_bytes), stride_bytes_(stride_bytes), left_(first + count) {
    Skip(first);
  }

  bool empty() const { return left_ == 0; }
  size_t left() const { return left_; }
  // Those that come next and stand together.
  std::span<Byte> front() const { return {row_ + in_row_, std::min(left_, row_bytes_ - in_row_)}; }
  void Skip(size_t bytes) {
    left_ -= bytes;
    in_row_ += bytes;
    if (in_row_ < row_bytes_) return;
    // Past the last row there is none to point to.
    const size_t rows = left_ == 0 ? 0 : in_row_ / row_bytes_;
    row_ += rows * stride_bytes_;
    in_row_ -= rows * row_bytes_;
  }
  // The next ones, row by row, as many rows as there is room for; how many.
  size_t ToIovecs(std::span<iovec> out) const {
    RowBytes rest = *this;
    size_t count = 0;
    for (; count < out.size() && !rest.empty(); ++count) {
      const std::span<Byte> bytes = rest.front();
      out[count] = {const_cast<uint8_t*>(bytes.data()), bytes.size()};
      rest.Skip(bytes.size());
    }
    return count;
  }
  // The next ones, as many as there is room for; how many.
  size_t CopyTo(std::span<uint8_t> out) const {
    size_t count = 0;
    for (RowBytes rest = *this; count < out.size() && !rest.empty();) {
      const std::span<Byte> bytes = rest.front().first(std::min(rest.front().size(), out.size() - count));
      std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(count));
      count += bytes.size();
      rest.Skip(bytes.size());
    }
    return count;
  }

 private:
  template <typename>
  friend class RowBytes;

  Byte* row_ = nullptr;
  size_t row_bytes_ = 0, stride_bytes_ = 0;
  size_t in_row_ = 0, left_ = 0;
};

using OutBytes = RowBytes<const uint8_t>;
using InBytes = RowBytes<uint8_t>;

}  // namespace quire::worker
