// A step's inputs in device memory: what kernels read beside their tensors. Arrays are sized by Reserve, once
// for all steps, so their addresses never change; Take fills them from pinned memory, in the stream, behind
// the step before. It waits only where the step before that one is still to be waited for, whose copies read
// the same pinned memory. Block tables stay with the host, by slot (kernels/host_step.h). Owned by the CUDA
// backend and called by its thread. Rows are filled up to one of a few counts, so that steps share graphs and
// a library's choices: such a row has id 0, no sequence, and a place in the cache that nobody reads (a block
// behind the last).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/backend/device_weights.h"
#include "kernels/cuda/backend/staged_array.h"
#include "kernels/cuda/sampling/take_sampled.h"
#include "kernels/cuda/step/device_array.h"
#include "kernels/host_step.h"

namespace quire::kernels::cuda {

// What two steps have in common whose launches are the same.
struct StepKey {
  int64_t tokens = 0, wanted_rows = 0;
  int narrow = 0, wide = 0, combine = 0;
  auto operator<=>(const StepKey&) const = default;
};

// The least of the counts that steps are filled up to, at least `rows`, unless `most` is less.
int64_t FilledUp(int64_t rows, int64_t most);
// All of them, of 1 to `most` rows; ascending.
std::vector<int64_t> FilledCounts(int64_t most);

class DeviceStep {
 public:
  // What Reserve takes of pinned memory at most: beside, for each token, each wanted row, each sequence, and
  // each block of a sequence's table. (Items of attention are no more than tokens and twice the sequences,
  // and three for each multiprocessor.)
  static constexpr int64_t kPinnedFixedBytes = 1 << 16;
  static constexpr int64_t kPinnedTokenBytes =
      kStepsInFlight * (3 * sizeof(int32_t) + sizeof(CombineToken) + sizeof(AttentionItem));
  static constexpr int64_t kPinnedRowBytes = kStepsInFlight * sizeof(int32_t);
  static constexpr int64_t kPinnedBlockBytes = kStepsInFlight * sizeof(int32_t);
  static constexpr int64_t kPinnedSequenceBytes =
      3 * kPinnedBlockBytes +
      kStepsInFlight * (sizeof(SampledPlace) + sizeof(AttentionSequence) + 2 * sizeof(AttentionItem));

  explicit DeviceStep(Stream& stream) : turns_(stream) {}
  // At the size of the largest step, for a KV cache of this shape.
  void Reserve(Stream& stream, const StepLimits& limits, const KvShape& kv);
  // `sampled`, on the device: what the step before sampled, `sampled_rows` ids.
  StepBucket Take(Stream& stream, const StepInputs& inputs, std::span<const RopeRows> ropes,
                  const int32_t* sampled, int64_t sampled_rows);
  int64_t pinned_bytes() const;

  const int32_t* ids() const { return ids_.data(); }
  const int32_t* rope_rows() const { return rope_rows_.data(); }
  const int32_t* kv_slots() const { return kv_slots_.data(); }  // block * 16 + the position within it
  const int32_t* wanted_rows() const { return wanted_rows_.data(); }
  StepKey key() const {
    return {bucket_.tokens, bucket_.wanted_rows, counts_.narrow, counts_.wide, counts_.combine};
  }
  int64_t tokens() const { return bucket_.tokens; }
  int64_t wanted() const { return bucket_.wanted_rows; }
  bool covered() const { return covered_; }  // each row is some sequence's, or fills up

  // For one layer's attention; q, pages, out and the scale are the caller's.
  AttentionParams attention() const;
  AttentionWork work() const;

 private:
  void ReserveAttention(Stream& stream);
  void SendIds(Stream& stream, const StepInputs& inputs, const int32_t* sampled, int64_t sampled_rows);
  // Of each token: its place in the cache, and in the ropes' table.
  void SendPlaces(Stream& stream, std::span<const RopeRows> ropes);
  // A step against its contract would write foreign memory.
  void Check(const SequenceRows& sequence, std::span<const RopeRows> ropes) const;
  void SendAttention(Stream& stream);

  StepLimits limits_;
  KvShape kv_;
  HostStep host_;
  StagingTurns turns_;
  int place_ = 0;  // of this step's, in pinned memory
  StagedArray<int32_t> ids_, rope_rows_, kv_slots_, wanted_rows_;
  StagedArray<SampledPlace> sampled_;
  StagedArray<AttentionSequence> sequences_;
  StagedArray<int32_t> tables_;
  StagedArray<AttentionItem> narrow_, wide_;
  StagedArray<CombineToken> combine_;
  DeviceArray<float> partial_out_, partial_state_;
  AttentionLimits attention_limits_;
  StepBucket bucket_;
  bool covered_ = false;
  AttentionCounts counts_;  // of the step, filled up
  // Scratch of Take.
  std::vector<int32_t> places_, rows_;
  std::vector<SampledPlace> from_;
  std::vector<AttentionSpan> spans_;
};

}  // namespace quire::kernels::cuda
