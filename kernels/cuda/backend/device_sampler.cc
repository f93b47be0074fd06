#include "kernels/cuda/backend/device_sampler.h"

#include <iterator>

#include "kernels/sampling/adjusted_row.h"
#include "kernels/sampling/fixed_math.h"
#include "kernels/sampling/run_bounds.h"

namespace quire::kernels::cuda {
namespace {

static_assert(kMostTopLogprobs == kMaxTopLogprobs && SampleRows::kBlock == kRunIds);

SampleRule RuleOf(const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  SampleRule rule;
  const bool greedy = params.temperature < kGreedyBelow;
  rule.scale = greedy ? 0.0f : 1.0f / params.temperature;
  rule.top_k = params.top_k;
  rule.top_p = params.top_p;
  rule.min_p = params.min_p;
  rule.noise = greedy ? 0.0 : UniformNoise(spec.seed, spec.choice, spec.position);
  rule.adjusted = spec.scored < 0 && IsAdjusted(spec) ? 1 : 0;
  rule.top_logprobs = std::clamp(params.top_logprobs, 0, kMostTopLogprobs);
  rule.scored = spec.scored;
  rule.logprobs = rule.scored >= 0 || params.logprobs || rule.top_logprobs > 0 ? 1 : 0;
  return rule;
}

constexpr auto kById = [](const auto& a, const auto& b) { return a.first < b.first; };

}  // namespace

void DeviceSampler::Reserve(Stream& stream, int64_t rows, int64_t ids) {
  const int64_t runs = (ids + kRunIds - 1) / kRunIds;
  rows_ = rows;
  vocabulary_ = ids;
  row_words_ = runs * kRunIds / 32;
  rules_ = StagedArray<SampleRule>(stream, rows);
  results_ = StagedArray<SampledRow>(stream, rows);
  words_ = StagedArray<uint32_t>(stream, rows * row_words_);
  row_parts_ = StagedArray<AdjustedRow>(stream, rows);
  entries_ = StagedArray<Adjustment>(stream, std::min(kMostEntries, rows * runs * kRunIds));
  weights_ = DeviceArray<float>(stream, rows * runs * kRunIds);
  ids_ = DeviceArray<int32_t>(stream, rows);
  rows_of_ = {};
  last_rows_ = 0;
  words_of_.resize(static_cast<size_t>(rows));
}

int64_t DeviceSampler::device_bytes() const {
  const auto bytes = [](const auto& array) {
    return static_cast<int64_t>(array.size() * sizeof(*array.data()));
  };
  return bytes(rules_) + bytes(results_) + bytes(words_) + bytes(row_parts_) + bytes(entries_) +
         bytes(weights_) + bytes(ids_);
}

int64_t DeviceSampler::pinned_bytes() const {
  return static_cast<int64_t>(rules_.pinned_bytes() + results_.pinned_bytes() + words_.pinned_bytes() +
                              row_parts_.pinned_bytes() + entries_.pinned_bytes());
}

void DeviceSampler::Enqueue(Stream& stream, int place, const float* logits, int64_t stride,
                            std::span<const SampleSpec* const> specs) {
  place_ = place;
  rows_of_[place] = specs.size();
  last_rows_ = std::ssize(specs);
  if (specs.empty()) return;
  words_used_ = parts_used_ = entries_used_ = 0;
  const auto ids = static_cast<int>(vocabulary_);
  const int64_t weights_stride = row_words_ * 32;
  adjust_ = {logits,        stride, weights_.data(), weights_stride, row_parts_.data(), entries_.data(),
             words_.data(), ids};
  for (size_t row = 0; row < specs.size(); ++row) StageRule(static_cast<int64_t>(row), *specs[row]);
  rules_.SendFirst(stream, place_, specs.size());
  words_.SendFirst(stream, place_, words_used_);
  for (size_t row = 0; row < specs.size(); ++row) {
    if (rules_.host(place_)[row].adjusted != 0) StageEntries(stream, static_cast<int64_t>(row), *specs[row]);
  }
  SendPortion(stream);
  SampleTokens(
      stream, static_cast<int>(specs.size()),
      {logits, stride, rules_.data(), weights_.data(), weights_stride, ids_.data(), results_.data(), ids});
  results_.FetchFirst(stream, place_, specs.size());
}

void DeviceSampler::StageRule(int64_t row, const SampleSpec& spec) {
  rules_.host(place_)[row] = RuleOf(spec);
  words_of_[row] = -1;
  if (spec.allowed.empty()) return;
  words_of_[row] = static_cast<int32_t>(words_used_);
  const std::span<uint32_t> words = words_.host(place_).subspan(words_used_, static_cast<size_t>(row_words_));
  const size_t given = std::min(words.size(), spec.allowed.size());
  std::copy_n(spec.allowed.begin(), given, words.begin());
  std::ranges::fill(words.subspan(given), 0);  // none behind the last
  words_used_ += words.size();
}

void DeviceSampler::StageEntries(Stream& stream, int64_t row, const SampleSpec& spec) {
  AdjustedRow part = {};
  part.row = static_cast<int>(row);
  part.first = 1;
  part.words = words_of_[row];
  part.penalty = spec.params.repetition_penalty;
  BeginRow(part);
  StageBias(stream, spec);
  for (const TokenId id : spec.params.masked_ids) {
    if (id >= 0 && id < vocabulary_) Stage(stream, Kind::kMask, {id, 0});
  }
  ForEachPenalty(spec, vocabulary_, [&](TokenId id, float less) {
    Stage(stream, Kind::kPenalty, {id, less});
  });
}

// An id that has several is to have them side by side, in their order.
void DeviceSampler::StageBias(Stream& stream, const SampleSpec& spec) {
  std::span<const std::pair<TokenId, float>> bias = spec.params.logit_bias;
  if (!std::ranges::is_sorted(bias, kById)) {
    bias_.assign(bias.begin(), bias.end());
    std::ranges::stable_sort(bias_, kById);
    bias = bias_;
  }
  for (const auto& [id, value] : bias) {
    if (id >= 0 && id < vocabulary_) Stage(stream, Kind::kBias, {id, value});
  }
}

void DeviceSampler::BeginRow(const AdjustedRow& row) {
  AdjustedRow& part = row_parts_.host(place_)[parts_used_++];
  part = row;
  part.bias = part.masks = part.penalties = part.end = static_cast<int>(entries_used_);
}

void DeviceSampler::Stage(Stream& stream, Kind kind, Adjustment entry) {
  if (entries_used_ == entries_.size()) {
    AdjustedRow rest = row_parts_.host(place_)[parts_used_ - 1];
    rest.first = 0;
    SendPortion(stream);
    stream.Record(stream.Synchronize());  // the next portion is written where this one is copied from
    BeginRow(rest);
  }
  entries_.host(place_)[entries_used_++] = entry;
  AdjustedRow& part = row_parts_.host(place_)[parts_used_ - 1];
  part.end = static_cast<int>(entries_used_);
  if (kind != Kind::kPenalty) part.penalties = part.end;
  if (kind == Kind::kBias) part.masks = part.end;
}

void DeviceSampler::SendPortion(Stream& stream) {
  if (parts_used_ == 0) return;
  row_parts_.SendFirst(stream, place_, parts_used_);
  entries_.SendFirst(stream, place_, entries_used_);
  Launch<AdjustRows>(stream, {.x = static_cast<int>(parts_used_)}, 0, adjust_);
  parts_used_ = entries_used_ = 0;
}

std::span<const SampledToken> DeviceSampler::TakeTokens(int place) {
  tokens_.assign(rows_of_[place], {});
  for (size_t row = 0; row < tokens_.size(); ++row) {
    const SampledRow& result = results_.host(place)[row];
    SampledToken& token = tokens_[row];
    token = {.id = result.id, .logprob = result.logprob, .failed = result.id < 0};
    for (int i = 0; i < result.top_count; ++i) {
      token.top_logprobs.push_back({result.top_ids[i], result.top_logprobs[i]});
    }
  }
  return tokens_;
}

}  // namespace quire::kernels::cuda
