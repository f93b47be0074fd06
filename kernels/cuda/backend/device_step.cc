#include "kernels/cuda/backend/device_step.h"

#include <algorithm>
#include <bit>

#include "base/core/status.h"
#include "kernels/shape_check.h"

namespace quire::kernels::cuda {
namespace {

// Of attention's partial results, where splits of a row go to several blocks: 64 MiB of heads of 128.
constexpr int64_t kMostPartialRows = 1 << 17;

int FilledUp(int entries, size_t most) {
  if (entries == 0) return 0;
  return static_cast<int>(std::min(std::bit_ceil(static_cast<size_t>(entries)), most));
}

}  // namespace

// Up to 32 rows are the decode GEMM's, which reads its weights once for 8, 16 or 32 of them; beyond, less
// than a half is in vain, and from 512 on less than a third.
int64_t FilledUp(int64_t rows, int64_t most) {
  int64_t step = 256;
  if (rows <= 512) step = 64;
  if (rows <= 32) step = 8;
  const int64_t filled = rows <= 4 ? rows : (rows + step - 1) / step * step;
  return std::min(filled, most);
}

std::vector<int64_t> FilledCounts(int64_t most) {
  std::vector<int64_t> counts;
  for (int64_t rows = 1; rows <= most; rows = counts.back() + 1) counts.push_back(FilledUp(rows, most));
  return counts;
}

void DeviceStep::Reserve(Stream& stream, const StepLimits& limits, const KvShape& kv) {
  limits_ = limits;
  kv_ = kv;
  host_.Reserve(limits);
  ids_ = StagedArray<int32_t>(stream, limits.tokens);
  rope_rows_ = StagedArray<int32_t>(stream, limits.tokens);
  kv_slots_ = StagedArray<int32_t>(stream, limits.tokens);
  wanted_rows_ = StagedArray<int32_t>(stream, limits.wanted_rows);
  sampled_ = StagedArray<SampledPlace>(stream, limits.sequences);
  if (kv.kv_heads > 0) ReserveAttention(stream);
}

// PlanAttention says how many entries it makes at most.
void DeviceStep::ReserveAttention(Stream& stream) {
  const int64_t group = kv_.query_heads / kv_.kv_heads, sequences = limits_.sequences;
  const int64_t last = std::max<int64_t>(limits_.table_blocks * kPageKeys - 1, 0);
  const int64_t most_partial = limits_.tokens * kv_.query_heads * (SplitOf(static_cast<int>(last)) + 1);
  attention_limits_ = LimitsFor(ReadDeviceSize(stream).processors, static_cast<int>(group),
                                static_cast<int>(kv_.kv_heads), std::min(kMostPartialRows, most_partial));
  sequences_ = StagedArray<AttentionSequence>(stream, sequences);
  tables_ = StagedArray<int32_t>(stream, sequences * (limits_.table_blocks + 3));
  narrow_ = StagedArray<AttentionItem>(stream, sequences + attention_limits_.narrow_blocks / kv_.kv_heads);
  wide_ = StagedArray<AttentionItem>(stream, sequences + attention_limits_.wide_blocks / kv_.kv_heads +
                                                 limits_.tokens * group / attention_limits_.wide_rows);
  combine_ = StagedArray<CombineToken>(stream, limits_.tokens);
  partial_out_ = DeviceArray<float>(stream, attention_limits_.partial_rows * kv_.head_dim);
  partial_state_ = DeviceArray<float>(stream, attention_limits_.partial_rows * 2);
}

int64_t DeviceStep::pinned_bytes() const {
  int64_t bytes = 0;
  const auto add = [&](const auto&... arrays) {
    ((bytes += static_cast<int64_t>(arrays.pinned_bytes())), ...);
  };
  add(ids_, rope_rows_, kv_slots_, wanted_rows_, sampled_, sequences_, tables_, narrow_, wide_, combine_);
  return bytes;
}

StepBucket DeviceStep::Take(Stream& stream, const StepInputs& inputs, std::span<const RopeRows> ropes,
                            const int32_t* sampled, int64_t sampled_rows) {
  StepInputs of_host = inputs;
  of_host.sampled = {};
  const StepBucket taken = host_.Take(of_host);
  bucket_ = {FilledUp(taken.tokens, limits_.tokens), FilledUp(taken.wanted_rows, limits_.wanted_rows)};
  place_ = turns_.Begin(stream);
  SendIds(stream, inputs, sampled, sampled_rows);
  rows_.assign(host_.wanted_rows().begin(), host_.wanted_rows().end());
  rows_.resize(bucket_.wanted_rows, 0);
  wanted_rows_.Send(stream, place_, rows_);
  SendPlaces(stream, ropes);
  if (kv_.kv_heads > 0) SendAttention(stream);
  turns_.End(stream);
  return bucket_;
}

// Outside of what is captured, since how many were sampled differs.
void DeviceStep::SendIds(Stream& stream, const StepInputs& inputs, const int32_t* sampled,
                         int64_t sampled_rows) {
  rows_.assign(host_.ids().begin(), host_.ids().end());
  rows_.resize(bucket_.tokens, 0);
  ids_.Send(stream, place_, rows_);
  from_.clear();
  for (const auto& [row, from] : inputs.sampled) {
    CheckOp(row >= 0 && row < std::ssize(host_.ids()) && from >= 0 && from < sampled_rows, "BeginStep",
            "no such row, or none was sampled");
    from_.push_back({static_cast<int32_t>(row), static_cast<int32_t>(from)});
  }
  sampled_.Send(stream, place_, from_);
  TakeSampled(stream, {sampled, sampled_.data(), ids_.data(), static_cast<int>(from_.size())});
}

void DeviceStep::Check(const SequenceRows& sequence, std::span<const RopeRows> ropes) const {
  const auto rope = static_cast<size_t>(sequence.rope);
  CheckOp(rope < ropes.size(), "BeginStep", "no such rope");
  CheckOp(sequence.position + sequence.rows <= ropes[rope].positions, "BeginStep",
          "a position is beyond the rope's table");
  const auto foreign = [&](int32_t block) { return block < 0 || block >= kv_.blocks; };
  CheckOp(std::ranges::none_of(sequence.blocks, foreign), "BeginStep", "no such block");
}

void DeviceStep::SendPlaces(Stream& stream, std::span<const RopeRows> ropes) {
  places_.assign(bucket_.tokens, static_cast<int32_t>(kv_.blocks * kPageKeys));
  rows_.assign(bucket_.tokens, 0);
  int64_t covered = 0;
  for (const SequenceRows& s : host_.sequences()) {
    if (kv_.blocks == 0) break;  // a step without attention, in tests
    Check(s, ropes);
    covered += s.rows;
    for (int64_t i = 0; i < s.rows; ++i) {
      const int64_t position = s.position + i;
      places_[s.first_row + i] =
          s.blocks[position / kPageKeys] * kPageKeys + static_cast<int32_t>(position % kPageKeys);
      rows_[s.first_row + i] = static_cast<int32_t>(ropes[static_cast<size_t>(s.rope)].first + position);
    }
  }
  covered_ = covered == std::ssize(host_.ids());
  kv_slots_.Send(stream, place_, places_);
  rope_rows_.Send(stream, place_, rows_);
}

void DeviceStep::SendAttention(Stream& stream) {
  spans_.clear();
  for (const SequenceRows& s : host_.sequences()) {
    if (s.rows == 0) continue;
    spans_.push_back({static_cast<int32_t>(s.first_row), static_cast<int32_t>(s.rows),
                      static_cast<int32_t>(s.position), s.blocks});
  }
  absl::StatusOr<AttentionPlan> plan = PlanAttention(spans_, attention_limits_);
  if (!plan.ok()) return stream.Record(MessageOf(plan.status()));
  const AttentionCounts needed = plan->counts();
  counts_ = {FilledUp(needed.narrow, narrow_.size()), FilledUp(needed.wide, wide_.size()),
             FilledUp(needed.combine, combine_.size())};
  if (const absl::Status filled = FillUp(*plan, counts_); !filled.ok()) {
    return stream.Record(MessageOf(filled));
  }
  sequences_.Send(stream, place_, plan->sequences);
  tables_.Send(stream, place_, plan->tables);
  narrow_.Send(stream, place_, plan->narrow);
  wide_.Send(stream, place_, plan->wide);
  combine_.Send(stream, place_, plan->combine);
}

AttentionParams DeviceStep::attention() const {
  AttentionParams params = {};
  params.tables = tables_.data();
  params.sequences = sequences_.data();
  params.partial_out = partial_out_.data();
  params.partial_state = partial_state_.data();
  params.query_heads = static_cast<int>(kv_.query_heads);
  params.kv_heads = static_cast<int>(kv_.kv_heads);
  return params;
}

AttentionWork DeviceStep::work() const {
  return {narrow_.data(), wide_.data(), counts_.narrow, counts_.wide, combine_.data(), counts_.combine};
}

}  // namespace quire::kernels::cuda
