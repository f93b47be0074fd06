// A step's inputs in device memory: what kernels read beside their tensors. Arrays are sized by Reserve, once
// for all steps, so their addresses never change; Take fills them from pinned memory without waiting. Block
// tables stay with the host, by slot (kernels/host_step.h). Owned by the CUDA backend and called by its
// thread. Always: the step before has been waited for when Take is called, since it writes what that one's
// copies read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/host_step.h"

namespace quire::kernels::cuda {

// An array that the host writes and the device reads.
template <typename T>
class StagedArray {
 public:
  StagedArray() = default;
  StagedArray(Stream& stream, size_t count)
      : device_(stream, count),
        host_(static_cast<T*>(AllocatePinned(stream, count * sizeof(T))), &FreePinned) {}

  T* data() const { return device_.data(); }
  size_t size() const { return device_.size(); }
  // What comes to stand at the beginning. An error of the stream where it does not fit.
  void Send(Stream& stream, std::span<const T> values) {
    if (values.size() > size()) return stream.Record("a step has more entries than were reserved");
    if (values.empty()) return;
    std::copy(values.begin(), values.end(), host_.get());
    QueueCopyToDevice(stream, data(), host_.get(), values.size_bytes());
  }

 private:
  DeviceArray<T> device_;
  std::unique_ptr<T, void (*)(void*)> host_{nullptr, &FreePinned};
};

class DeviceStep {
 public:
  // At the size of the largest step, for a KV cache of this shape.
  void Reserve(Stream& stream, const StepLimits& limits, const KvShape& kv);
  // rope_rows[r]: where rope r's table begins in all ropes' table.
  StepBucket Take(Stream& stream, const StepInputs& inputs, std::span<const int64_t> rope_rows);

  const int32_t* ids() const { return ids_.data(); }
  const int32_t* rope_rows() const { return rope_rows_.data(); }
  const int32_t* kv_slots() const { return kv_slots_.data(); }  // block * 16 + the position within it
  const int32_t* wanted_rows() const { return wanted_rows_.data(); }
  int64_t tokens() const { return std::ssize(host_.ids()); }
  bool covered() const { return covered_; }  // each row is some sequence's
  int64_t wanted() const { return std::ssize(host_.wanted_rows()); }

  // For one layer's attention; q, pages, out and the scale are the caller's.
  AttentionParams attention() const;
  AttentionWork work() const;

 private:
  void ReserveAttention(Stream& stream);
  // Of each token: its place in the cache, and in the ropes' table.
  void SendPlaces(Stream& stream, std::span<const int64_t> rope_rows);
  void SendAttention(Stream& stream);

  StepLimits limits_;
  KvShape kv_;
  DeviceSize device_;
  HostStep host_;
  StagedArray<int32_t> ids_, rope_rows_, kv_slots_, wanted_rows_;
  StagedArray<AttentionSequence> sequences_;
  StagedArray<int32_t> tables_;
  StagedArray<AttentionItem> narrow_, wide_;
  StagedArray<CombineToken> combine_;
  DeviceArray<float> partial_out_, partial_state_;
  int64_t partial_rows_ = 0;
  bool covered_ = false;
  AttentionCounts counts_;  // of the step
  // Scratch of Take.
  std::vector<int32_t> places_, rows_;
  std::vector<AttentionSpan> spans_;
};

}  // namespace quire::kernels::cuda
