// A step's sampling on the device: what rows are sampled by is written to pinned memory, kernels adjust the
// rows that need it, pick an id of each and tell its logprobs, and the results come back by one copy. Owned
// by the CUDA backend and called by its thread; kernels/sampling's Sampler chooses the same, bit by bit.
// What always holds: all device and pinned memory is Reserve's; each step has a place in it of its own, which
// nothing that is queued uses any more (staged_array.h). Entries that adjust rows (one for each id
// that a penalty looks at, say: up to sampled_ids of a row) have room for kMostEntries only, since for all of
// them each row would take twice what its logits do, nearly always in vain; what is more goes in portions,
// and between two of them Enqueue waits for the stream. Nothing else waits. (A step with penalties seldom has
// another one before it in flight: worker/engine/README.md, "Steps ahead".)
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/backend/staged_array.h"
#include "kernels/cuda/sampling/adjust_rows.h"
#include "kernels/cuda/sampling/sample_rows.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels::cuda {

class DeviceSampler {
 public:
  // Of a portion: a prompt of a whole vocabulary of most models, or 4096 different ids of each of 64 rows.
  static constexpr int64_t kMostEntries = 1 << 18;
  // What Reserve takes at most, on the device and of pinned memory: for each row, for each of its runs of 64
  // ids (weights, a grammar's bits), and beside.
  static constexpr int64_t kFixedBytes = kMostEntries * static_cast<int64_t>(sizeof(Adjustment));
  static constexpr int64_t kPinnedFixedBytes = kStepsInFlight * kFixedBytes;
  static constexpr int64_t kStagedRowBytes = sizeof(SampleRule) + sizeof(SampledRow) + sizeof(AdjustedRow);
  static constexpr int64_t kPinnedRowBytes = kStepsInFlight * kStagedRowBytes;
  static constexpr int64_t kRowBytes = kStagedRowBytes + sizeof(int32_t);
  static constexpr int64_t kStagedRunBytes = 64 / 8, kPinnedRunBytes = kStepsInFlight * kStagedRunBytes;
  static constexpr int64_t kRunBytes = kStagedRunBytes + 64 * sizeof(float);

  // For so many rows of so many ids that may be sampled, 1 to SampleRows::kMostIds.
  void Reserve(Stream& stream, int64_t rows, int64_t ids);
  // Picks a token by specs[i] from row i of logits, rows `stride` apart, for a step at that place. At most as
  // many as were reserved.
  void Enqueue(Stream& stream, int place, const float* logits, int64_t stride,
               std::span<const SampleSpec* const> specs);
  // Of the last step at that place, when the stream has passed it; good until the next call.
  std::span<const SampledToken> TakeTokens(int place);

  // On the device, of the last Enqueue's rows: -1 where one failed.
  int32_t* ids() const { return ids_.data(); }
  int64_t rows() const { return last_rows_; }  // how many those are
  int64_t reserved_ids() const { return vocabulary_; }
  int64_t reserved_rows() const { return rows_; }
  // What Reserve took on the device, and what of pinned memory: at most what the constants above say.
  int64_t device_bytes() const;
  int64_t pinned_bytes() const;

 private:
  enum class Kind : uint8_t { kBias, kMask, kPenalty };

  // A row's rule, and its grammar's words behind those of other rows.
  void StageRule(int64_t row, const SampleSpec& spec);
  void StageEntries(Stream& stream, int64_t row, const SampleSpec& spec);
  void StageBias(Stream& stream, const SampleSpec& spec);
  void Stage(Stream& stream, Kind kind, Adjustment entry);
  // A row's part of the portion begins.
  void BeginRow(const AdjustedRow& row);
  // Adjusts rows by the portion.
  void SendPortion(Stream& stream);
  int64_t rows_ = 0, vocabulary_ = 0, row_words_ = 0;
  StagedArray<SampleRule> rules_;       // [rows]
  StagedArray<SampledRow> results_;     // [rows]
  StagedArray<uint32_t> words_;         // [rows][row_words_], of rows that have a grammar only
  StagedArray<AdjustedRow> row_parts_;  // [rows], of a portion
  StagedArray<Adjustment> entries_;     // of a portion
  DeviceArray<float> weights_;          // [rows][stride], and adjusted logits before they are weighed
  DeviceArray<int32_t> ids_;            // [rows]
  AdjustRows::Params adjust_ = {};
  std::array<size_t, kStepsInFlight> rows_of_ = {};  // of the step at each place
  int64_t last_rows_ = 0;
  // Of the step that is being enqueued.
  int place_ = 0;
  size_t words_used_ = 0, parts_used_ = 0, entries_used_ = 0;
  std::vector<std::pair<TokenId, float>> bias_;  // in order, where a spec's is not
  std::vector<int32_t> words_of_;                // where a row's begin, or -1
  std::vector<SampledToken> tokens_;
};

}  // namespace quire::kernels::cuda
