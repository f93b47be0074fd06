// Elements in device memory, owned; undefined at first. What could not be had stands in the stream's error
// and leaves an empty array. Moves, never copies; whoever owns the stream makes and frees it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(Stream& stream, size_t count)
      : data_(static_cast<T*>(AllocateDevice(stream, count * sizeof(T)))),
        count_(data_ == nullptr ? 0 : count) {}
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    if (data_ != nullptr) FreeDevice(data_);
  }

  T* data() const { return data_; }
  size_t size() const { return count_; }

  // False, and an error of the stream, where they don't fit.
  bool Upload(Stream& stream, std::span<const T> values, const char* what) const {
    if (values.size() > count_) {
      stream.Record("a step has " + std::to_string(values.size()) + " " + what + ", and room for " +
                    std::to_string(count_));
      return false;
    }
    if (!values.empty()) CopyToDevice(stream, data_, values.data(), values.size_bytes());
    return true;
  }
  std::vector<T> Download(Stream& stream, size_t count) const {
    std::vector<T> values(count < count_ ? count : count_);
    if (!values.empty()) CopyToHost(stream, values.data(), data_, values.size() * sizeof(T));
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace quire::kernels::cuda
