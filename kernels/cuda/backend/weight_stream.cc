#include "kernels/cuda/backend/weight_stream.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/core/on_threads.h"

namespace quire::kernels::cuda {
namespace {

// Below it a thread costs more than it copies.
constexpr size_t kLeastPart = size_t{1} << 20;

// Rows as if they stood side by side.
struct Rows {
  const std::byte* first;
  size_t stride, bytes;

  void Read(size_t begin, size_t end, std::byte* to) const {
    while (begin < end) {
      const size_t row = begin / bytes, at = begin % bytes;
      const size_t count = std::min(bytes - at, end - begin);
      std::memcpy(to, first + row * stride + at, count);
      to += count;
      begin += count;
    }
  }
};

void ReadOnThreads(int threads, const Rows& rows, size_t begin, size_t end, std::byte* to) {
  const size_t part = std::max(kLeastPart, (end - begin + threads - 1) / threads);
  const auto parts = static_cast<int64_t>((end - begin + part - 1) / part);
  ForEachOnThreads(threads, parts, [&](int64_t i) {
    const size_t from = begin + static_cast<size_t>(i) * part;
    rows.Read(from, std::min(from + part, end), to + (from - begin));
  });
}

}  // namespace

WeightStream::WeightStream(int threads, size_t buffer_bytes)
    : threads_(std::max(threads, 1)), buffer_bytes_(buffer_bytes) {}

WeightStream::Buffer* WeightStream::Next(Stream& stream) {
  Buffer& buffer = buffers_[next_++ % kBuffers];
  if (buffer.bytes == nullptr) {
    buffer.bytes.reset(static_cast<std::byte*>(AllocatePinned(stream, buffer_bytes_)));
    buffer.copied = std::make_unique<Event>(stream);
    return buffer.bytes == nullptr ? nullptr : &buffer;
  }
  stream.Record(buffer.copied->Wait(stream));
  return &buffer;
}

bool WeightStream::Copy(Stream& stream, void* to, const void* from, size_t from_stride, size_t row_bytes,
                        size_t rows) {
  const Rows source{static_cast<const std::byte*>(from), from_stride, row_bytes};
  const size_t total = row_bytes * rows;
  for (size_t begin = 0; begin < total; begin += buffer_bytes_) {
    const size_t end = std::min(begin + buffer_bytes_, total);
    Buffer* const buffer = Next(stream);
    if (buffer == nullptr) return false;
    ReadOnThreads(threads_, source, begin, end, buffer->bytes.get());
    QueueCopyToDevice(stream, static_cast<std::byte*>(to) + begin, buffer->bytes.get(), end - begin);
    buffer->copied->Record(stream);
  }
  return true;
}

void WeightStream::End(Stream& stream) {
  for (Buffer& buffer : buffers_) {
    if (buffer.copied != nullptr) stream.Record(buffer.copied->Wait(stream));
    buffer = Buffer();
  }
}

}  // namespace quire::kernels::cuda
