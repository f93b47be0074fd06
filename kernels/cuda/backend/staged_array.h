// Arrays that cross between host and device without anybody waiting: device memory with pinned memory beside
// it, all made once. There is pinned memory for two steps, in turn: one may run, with its copies still
// queued, while the next is written. Before a third is, the first has been waited for. Owned by parts of the
// CUDA backend and used by its thread.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {

// The most that there are in flight (Backend::runs_ahead); places in pinned memory are below it.
inline constexpr int kStepsInFlight = 2;

template <typename T>
class StagedArray {
 public:
  StagedArray() = default;
  StagedArray(Stream& stream, size_t count) {
    if (count == 0) return;
    device_ = DeviceArray<T>(stream, count);
    host_.reset(static_cast<T*>(AllocatePinned(stream, kStepsInFlight * count * sizeof(T))));
  }

  T* data() const { return device_.data(); }
  size_t size() const { return host_ == nullptr ? 0 : device_.size(); }
  size_t pinned_bytes() const { return kStepsInFlight * size() * sizeof(T); }
  std::span<T> host(int place) const { return {host_.get() + place * size(), size()}; }

  // What comes to stand at the beginning. An error of the stream where it does not fit.
  void Send(Stream& stream, int place, std::span<const T> values) {
    if (values.size() > size()) return stream.Record("a step has more entries than were reserved");
    std::copy(values.begin(), values.end(), host(place).begin());
    SendFirst(stream, place, values.size());
  }
  // The first of what stands in that host().
  void SendFirst(Stream& stream, int place, size_t count) {
    if (count > 0) QueueCopyToDevice(stream, data(), host(place).data(), count * sizeof(T));
  }
  void FetchFirst(Stream& stream, int place, size_t count) {
    if (count > 0) QueueCopyToHost(stream, host(place).data(), data(), count * sizeof(T));
  }

 private:
  DeviceArray<T> device_;
  std::unique_ptr<T, void (*)(void*)> host_{nullptr, &FreePinned};
};

// Which place is a step's whose inputs are sent, and nothing else.
class StagingTurns {
 public:
  explicit StagingTurns(Stream& stream) : sent_{Event(stream), Event(stream)} {}
  // The next one. It waits where what was sent from it is still queued: never, where all steps but the last
  // have been waited for.
  int Begin(Stream& stream) {
    place_ = (place_ + 1) % kStepsInFlight;
    stream.Record(sent_[place_].Wait(stream));
    return place_;
  }
  // All of it is queued.
  void End(Stream& stream) { sent_[place_].Record(stream); }

 private:
  std::array<Event, kStepsInFlight> sent_;
  int place_ = 0;
};

}  // namespace quire::kernels::cuda
