// Seeded data for checks, device buffers that start as NaNs and notice writes outside of them, and
// conversions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

inline std::vector<float> RandomFloats(size_t count, uint64_t seed, float scale = 1, float mean = 0) {
  std::mt19937 random(static_cast<uint32_t>(seed * 2654435761u + 12345));
  std::normal_distribution<float> normal(mean, scale);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

inline std::vector<uint16_t> ToBf16(std::span<const float> values) {
  std::vector<uint16_t> out;
  out.reserve(values.size());
  for (const float value : values) out.push_back(kernels::FloatToBf16(value));
  return out;
}
// Many of them are drawn from a table: a distribution of its own for each would take a check's time.
inline std::vector<uint16_t> RandomBf16(size_t count, uint64_t seed, float scale = 1) {
  constexpr size_t kTable = size_t{1} << 20;
  std::vector<uint16_t> out = ToBf16(RandomFloats(std::min(count, kTable), seed, scale));
  std::mt19937 random(static_cast<uint32_t>(seed));
  out.reserve(count);
  while (out.size() < count) out.push_back(out[random() % kTable]);
  return out;
}

inline std::vector<double> ToDouble(std::span<const float> values) { return {values.begin(), values.end()}; }
inline std::vector<double> ToDouble(std::span<const uint16_t> bf16) {
  std::vector<double> out;
  out.reserve(bf16.size());
  for (const uint16_t bits : bf16) out.push_back(kernels::Bf16ToFloat(bits));
  return out;
}

// Elements in device memory. On a GPU guards stand around them; on fibers AddressSanitizer guards.
template <typename T>
class Buffer {
 public:
  Buffer(Stream& stream, size_t count)
      : stream_(stream),
        count_(count),
        memory_(static_cast<std::byte*>(AllocateDevice(stream, Bytes() + 2 * kGuard))) {
    const std::vector<std::byte> poison(Bytes() + 2 * kGuard, kPoison);
    CopyToDevice(stream_, memory_, poison.data(), poison.size());
  }
  Buffer(Stream& stream, std::span<const T> values) : Buffer(stream, values.size()) { Upload(values); }
  Buffer(Stream& stream, const std::vector<T>& values) : Buffer(stream, std::span<const T>(values)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { FreeDevice(memory_); }

  T* data() const { return reinterpret_cast<T*>(memory_ + kGuard); }
  size_t size() const { return count_; }
  void Upload(std::span<const T> values) {
    CopyToDevice(stream_, data(), values.data(), std::min(values.size(), count_) * sizeof(T));
  }
  // Records an error in the stream where something was written around the buffer.
  std::vector<T> Download() const {
    std::vector<std::byte> all(Bytes() + 2 * kGuard);
    CopyToHost(stream_, all.data(), memory_, all.size());
    const auto poisoned = [&](size_t first) {
      return std::all_of(all.begin() + first, all.begin() + first + kGuard,
                         [](std::byte b) { return b == kPoison; });
    };
    if (!poisoned(0) || !poisoned(kGuard + Bytes())) stream_.Record("a kernel wrote outside of its buffer");
    std::vector<T> out(count_);
    if (Bytes() > 0) std::memcpy(static_cast<void*>(out.data()), all.data() + kGuard, Bytes());
    return out;
  }

 private:
  static constexpr std::byte kPoison{0xff};  // NaN in bf16 and fp32, -1 as an index
  static constexpr size_t kGuard = kEmulated ? 0 : 256;
  size_t Bytes() const { return count_ * sizeof(T); }

  Stream& stream_;
  size_t count_;
  std::byte* memory_;
};

}  // namespace quire::kernels::cuda
