// Arrays that cross between host and device without anybody waiting: device memory with pinned memory beside
// it, both made once. Owned by parts of the CUDA backend and used by its thread. Whoever writes the pinned
// memory, or reads it, knows that the stream has passed the copy before.
#pragma once

#include <algorithm>
#include <memory>
#include <span>

#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {

template <typename T>
class StagedArray {
 public:
  StagedArray() = default;
  StagedArray(Stream& stream, size_t count) {
    if (count == 0) return;
    device_ = DeviceArray<T>(stream, count);
    host_.reset(static_cast<T*>(AllocatePinned(stream, count * sizeof(T))));
  }

  T* data() const { return device_.data(); }
  size_t size() const { return host_ == nullptr ? 0 : device_.size(); }
  std::span<T> host() const { return {host_.get(), size()}; }

  // What comes to stand at the beginning. An error of the stream where it does not fit.
  void Send(Stream& stream, std::span<const T> values) {
    if (values.size() > size()) return stream.Record("a step has more entries than were reserved");
    std::copy(values.begin(), values.end(), host_.get());
    SendFirst(stream, values.size());
  }
  // The first of what stands in host().
  void SendFirst(Stream& stream, size_t count) {
    if (count > 0) QueueCopyToDevice(stream, data(), host_.get(), count * sizeof(T));
  }
  void FetchFirst(Stream& stream, size_t count) {
    if (count > 0) QueueCopyToHost(stream, host_.get(), data(), count * sizeof(T));
  }

 private:
  DeviceArray<T> device_;
  std::unique_ptr<T, void (*)(void*)> host_{nullptr, &FreePinned};
};

}  // namespace quire::kernels::cuda
