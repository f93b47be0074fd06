// Weights on their way to the device: threads read rows from wherever they lie, a mapped file whose pages a
// disk still brings, say, into one of two pinned buffers, while the copy of the other one runs. Owned by
// DeviceWeights; one thread calls it. What always holds: a buffer is written again only when its copy has
// been waited for, and what Copy was given has been read when it returns.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

class WeightStream {
 public:
  static constexpr int kBuffers = 2;
  static constexpr size_t kBufferBytes = size_t{32} << 20;

  explicit WeightStream(int threads, size_t buffer_bytes = kBufferBytes);

  // `rows` rows of row_bytes, from_stride bytes apart, to stand densely at `to` once the stream has passed.
  // False, and an error of the stream, where there is no pinned memory.
  bool Copy(Stream& stream, void* to, const void* from, size_t from_stride, size_t row_bytes, size_t rows);
  // Waits, and gives the pinned memory back until more is copied.
  void End(Stream& stream);

 private:
  struct Buffer {
    std::unique_ptr<std::byte, void (*)(void*)> bytes{nullptr, &FreePinned};
    std::unique_ptr<Event> copied;
  };

  // Null where there is no memory. It waits until the buffer's copy is done.
  Buffer* Next(Stream& stream);

  const int threads_;
  const size_t buffer_bytes_;
  std::array<Buffer, kBuffers> buffers_;
  size_t next_ = 0;
};

}  // namespace quire::kernels::cuda
