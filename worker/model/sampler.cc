#include "worker/model/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "worker/model/fixed_math.h"

namespace quire::worker {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLanes = 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Below it 1 / temperature would overflow on the way; the distribution is a point long before.
constexpr float kGreedyBelow = 1e-5f;
constexpr size_t kFirstCandidates = 64;

bool AllFinite(std::span<const float> values) {
  uint32_t bad = 0;
  for (const float value : values) {
    bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & 0x7F800000u) == 0x7F800000u);
  }
  return bad == 0;
}

// Lanes first, then halves of lanes: an order that vector registers of any width up to 16 keep.
template <typename Combine>
float FoldLanes(float (&lanes)[kLanes], Combine combine) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] = combine(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

float BlockMax(const float* block) {
  const auto max = [](float a, float b) { return a > b ? a : b; };
  float lanes[kLanes];
  std::copy_n(block, kLanes, lanes);
  for (size_t at = kLanes; at < kBlock; at += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = max(lanes[i], block[at + i]);
  }
  return FoldLanes(lanes, max);
}

float BlockWeight(const float* block, float top, float scale) {
  float lanes[kLanes] = {};
  for (size_t at = 0; at < kBlock; at += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) lanes[i] += ExpOfNegative((block[at + i] - top) * scale);
  }
  return FoldLanes(lanes, [](float a, float b) { return a + b; });
}

// The first index whose running sum of weight(i), i in [0, count), passes `target`; where rounding leaves
// none, the last index of positive weight.
template <typename Weight>
size_t InvertSum(size_t count, double target, Weight weight, double& before) {
  double sum = 0.0;
  size_t last = 0;
  before = 0.0;
  for (size_t i = 0; i < count; ++i) {
    const double w = weight(i);
    if (w <= 0.0) continue;
    last = i;
    before = sum;
    sum += w;
    if (sum > target) return i;
  }
  return last;
}

}  // namespace

Sampler::Sampler(int64_t tokenizer_size)
    : tokenizer_size_(tokenizer_size), counts_(static_cast<size_t>(tokenizer_size)) {
  const size_t blocks = (static_cast<size_t>(tokenizer_size) + kBlock - 1) / kBlock;
  logits_.assign(blocks * kBlock, kMinusInfinity);
  block_max_.resize(blocks);
  block_weights_.resize(blocks);
}

SampledToken Sampler::Sample(std::span<const float> logits, const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  const std::span<const float> row = logits.first(static_cast<size_t>(tokenizer_size_));
  SampledToken token;
  token.failed = !AllFinite(row);
  if (token.failed) return token;
  std::ranges::copy(row, logits_.begin());
  double log_total = 0.0;
  if (params.logprobs) {
    const float top = FindTop();
    log_total = static_cast<double>(top) + LogOfPositive(SumWeights(top, 1.0f));
  }
  Adjust(spec);
  const float top = FindTop();
  token.failed = !std::isfinite(top);
  if (token.failed) return token;
  if (params.temperature < kGreedyBelow) {
    token.id = static_cast<TokenId>(std::ranges::find(logits_, top) - logits_.begin());
  } else {
    const float scale = 1.0f / params.temperature;
    const double noise = UniformNoise(spec.seed, spec.choice, spec.position);
    const bool unfiltered = params.top_k <= 0 && params.top_p >= 1.0f && params.min_p <= 0.0f;
    token.id = unfiltered ? PickFromAll(top, scale, noise) : PickFromBest(params, top, scale, noise);
  }
  if (params.logprobs) token.logprob = static_cast<float>(static_cast<double>(row[token.id]) - log_total);
  return token;
}

void Sampler::Adjust(const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  for (const auto& [id, bias] : params.logit_bias) {
    if (InVocabulary(id)) logits_[id] += bias;
  }
  for (const TokenId id : params.masked_ids) {
    if (InVocabulary(id)) logits_[id] = kMinusInfinity;
  }
  if (params.repetition_penalty != 1.0f) PenalizeRepetition(spec);
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) PenalizeOutput(spec);
}

void Sampler::PenalizeRepetition(const SampleSpec& spec) {
  const float penalty = spec.params.repetition_penalty;
  for (const auto* ids : {spec.prompt_ids, spec.output_ids}) {
    if (ids == nullptr) continue;
    for (const TokenId id : *ids) {
      if (!InVocabulary(id) || counts_[id]++ != 0) continue;
      logits_[id] = logits_[id] > 0.0f ? logits_[id] / penalty : logits_[id] * penalty;
    }
  }
  for (const auto* ids : {spec.prompt_ids, spec.output_ids}) {
    if (ids == nullptr) continue;
    for (const TokenId id : *ids) {
      if (InVocabulary(id)) counts_[id] = 0;
    }
  }
}

void Sampler::PenalizeOutput(const SampleSpec& spec) {
  if (spec.output_ids == nullptr) return;
  for (const TokenId id : *spec.output_ids) {
    if (InVocabulary(id)) ++counts_[id];
  }
  for (const TokenId id : *spec.output_ids) {
    if (!InVocabulary(id) || counts_[id] == 0) continue;
    logits_[id] -=
        spec.params.frequency_penalty * static_cast<float>(counts_[id]) + spec.params.presence_penalty;
    counts_[id] = 0;
  }
}

float Sampler::FindTop() {
  float top = kMinusInfinity;
  for (size_t block = 0; block < block_max_.size(); ++block) {
    block_max_[block] = BlockMax(&logits_[block * kBlock]);
    top = std::max(top, block_max_[block]);
  }
  return top;
}

double Sampler::SumWeights(float top, float scale) {
  double total = 0.0;
  for (size_t block = 0; block < block_weights_.size(); ++block) {
    block_weights_[block] = BlockWeight(&logits_[block * kBlock], top, scale);
    total += block_weights_[block];
  }
  return total;
}

TokenId Sampler::PickFromAll(float top, float scale, double noise) {
  const double target = noise * SumWeights(top, scale);
  double before = 0.0, ignored = 0.0;
  const size_t block = InvertSum(
      block_weights_.size(), target, [&](size_t i) { return block_weights_[i]; }, before);
  const float* logits = &logits_[block * kBlock];
  const size_t at = InvertSum(
      kBlock, target - before, [&](size_t i) { return double{ExpOfNegative((logits[i] - top) * scale)}; },
      ignored);
  return static_cast<TokenId>(block * kBlock + at);
}

TokenId Sampler::PickFromBest(const SamplingParams& params, float top, float scale, double noise) {
  const auto vocabulary = static_cast<size_t>(tokenizer_size_);
  const bool has_top_k = params.top_k > 0;
  size_t count =
      has_top_k ? std::min<size_t>(params.top_k, vocabulary) : std::min(kFirstCandidates, vocabulary);
  const double total_of_all = has_top_k || params.top_p >= 1.0f ? 0.0 : SumWeights(top, scale);
  size_t kept = SIZE_MAX;
  for (; kept == SIZE_MAX; count = std::min(count * 8, vocabulary)) {
    SelectBest(count);
    double total = 0.0;
    for (Candidate& candidate : candidates_) {
      candidate.weight = ExpOfNegative((candidate.logit - top) * scale);
      total += candidate.weight;
    }
    kept = CountKept(params, has_top_k ? total : total_of_all, has_top_k || count == vocabulary);
  }
  const auto weight = [&](size_t i) { return candidates_[i].weight; };
  double total = 0.0, ignored = 0.0;
  for (size_t i = 0; i < kept; ++i) total += weight(i);
  return candidates_[InvertSum(kept, noise * total, weight, ignored)].id;
}

void Sampler::SelectBest(size_t count) {
  // The count-th best block maximum bounds the count-th best logit from below: only a few blocks remain to be
  // read.
  float bound = kMinusInfinity;
  if (count <= block_max_.size()) {
    scratch_ = block_max_;
    std::ranges::nth_element(scratch_, scratch_.begin() + static_cast<ptrdiff_t>(count) - 1,
                             std::greater<>());
    bound = scratch_[count - 1];
  }
  candidates_.clear();
  for (size_t block = 0; block < block_max_.size(); ++block) {
    if (block_max_[block] < bound) continue;
    for (size_t id = block * kBlock; id < (block + 1) * kBlock; ++id) {
      if (logits_[id] >= bound && logits_[id] != kMinusInfinity) {
        candidates_.push_back({logits_[id], static_cast<TokenId>(id)});
      }
    }
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  if (count < candidates_.size()) {
    std::ranges::nth_element(candidates_, candidates_.begin() + static_cast<ptrdiff_t>(count), better);
    candidates_.resize(count);
  }
  std::ranges::sort(candidates_, better);
}

size_t Sampler::CountKept(const SamplingParams& params, double total, bool all_selected) const {
  const double nucleus = params.top_p < 1.0f ? static_cast<double>(params.top_p) * total : total * 2.0;
  const double floor = static_cast<double>(params.min_p) * candidates_[0].weight;
  double sum = 0.0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i > 0 && candidates_[i].weight < floor) return i;
    sum += candidates_[i].weight;
    if (params.top_p < 1.0f && sum >= nucleus) return i + 1;
  }
  return all_selected ? candidates_.size() : SIZE_MAX;
}

}  // namespace quire::worker
