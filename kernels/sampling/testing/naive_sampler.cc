#include "kernels/sampling/testing/naive_sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/sampling/fixed_math.h"

namespace quire::kernels {
namespace {

constexpr size_t kRun = 64;
constexpr size_t kLanes = 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Below it 1 / temperature would overflow on the way; the distribution is a point long before.
constexpr float kGreedyBelow = 1e-5f;
constexpr size_t kSmallNucleus = 256;

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

float RunMax(const float* run) {
  const auto max = [](float a, float b) { return a > b ? a : b; };
  float lanes[kLanes];
  std::copy_n(run, kLanes, lanes);
  for (size_t at = kLanes; at < kRun; at += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) lanes[i] = max(lanes[i], run[at + i]);
  }
  return FoldLanes(lanes, max);
}

// Of the weights that are at least `bound`.
float RunSum(const float* run, float bound) {
  float lanes[kLanes] = {};
  for (size_t at = 0; at < kRun; at += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) lanes[i] += run[at + i] >= bound ? run[at + i] : 0.0f;
  }
  return FoldLanes(lanes, [](float a, float b) { return a + b; });
}

float Max(const std::vector<float>& runs) {
  float max = kMinusInfinity;
  for (size_t at = 0; at < runs.size(); at += kRun) max = std::max(max, RunMax(&runs[at]));
  return max;
}

constexpr auto kBetter = [](const auto& a, const auto& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
};

}  // namespace

NaiveSampler::NaiveSampler(int64_t tokenizer_size)
    : tokenizer_size_(tokenizer_size), counts_(static_cast<size_t>(tokenizer_size)) {
  const size_t runs = (static_cast<size_t>(tokenizer_size) + kRun - 1) / kRun;
  logits_.assign(runs * kRun, kMinusInfinity);
  weights_.resize(runs * kRun);
}

SampledToken NaiveSampler::Sample(std::span<const float> logits, const SampleSpec& spec,
                                  std::span<const TokenId> prompt, std::span<const TokenId> output) {
  const SamplingParams& params = spec.params;
  const std::span<const float> row = logits.first(static_cast<size_t>(tokenizer_size_));
  SampledToken token;
  token.failed = !AllFinite(row);
  if (token.failed) return token;
  std::ranges::copy(row, logits_.begin());
  double log_total = 0.0;
  const bool logprobs = spec.scored >= 0 || params.logprobs || params.top_logprobs > 0;
  if (logprobs) {
    const float top = Max(logits_);
    ComputeWeights(top, 1.0f);
    log_total = static_cast<double>(top) + LogOfPositive(SumWeights());
    if (params.top_logprobs > 0) token.top_logprobs = TopLogprobs(row, params.top_logprobs, log_total);
  }
  if (spec.scored >= 0) {
    token.id = spec.scored;
    const double logit = token.id < tokenizer_size_ ? double{row[token.id]} : double{kMinusInfinity};
    token.logprob = static_cast<float>(logit - log_total);
    return token;
  }
  Adjust(spec);
  if (params.repetition_penalty != 1.0f) PenalizeRepetition(params.repetition_penalty, prompt, output);
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) PenalizeOutput(params, output);
  const float top = Max(logits_);
  token.failed = !std::isfinite(top);
  if (token.failed) return token;
  if (params.temperature < kGreedyBelow) {
    token.id = static_cast<TokenId>(std::ranges::find(logits_, top) - logits_.begin());
  } else {
    ComputeWeights(top, 1.0f / params.temperature);
    Filter(params);
    token.id = Pick(UniformNoise(spec.seed, spec.choice, spec.position));
  }
  if (logprobs) token.logprob = static_cast<float>(static_cast<double>(row[token.id]) - log_total);
  return token;
}

std::vector<std::pair<TokenId, float>> NaiveSampler::Kept() const {
  std::vector<std::pair<TokenId, float>> kept;
  for (size_t id = 0; id < weights_.size(); ++id) {
    if (weights_[id] != 0.0f) kept.emplace_back(static_cast<TokenId>(id), weights_[id]);
  }
  return kept;
}

std::vector<TokenLogprob> NaiveSampler::TopLogprobs(std::span<const float> row, int32_t count,
                                                    double log_total) {
  std::vector<TokenLogprob> all;
  for (const float logit : row) {
    const auto logprob = static_cast<float>(static_cast<double>(logit) - log_total);
    all.push_back({static_cast<TokenId>(all.size()), logprob});
  }
  std::ranges::stable_sort(all, [&](const auto& a, const auto& b) { return row[a.id] > row[b.id]; });
  all.resize(std::min(all.size(), static_cast<size_t>(std::min(count, kMaxTopLogprobs))));
  return all;
}

void NaiveSampler::Adjust(const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  for (TokenId id = 0; !spec.allowed.empty() && id < tokenizer_size_; ++id) {
    const bool known = id < 32 * std::ssize(spec.allowed);
    if (!known || (spec.allowed[id / 32] & (1u << (id % 32))) == 0) logits_[id] = kMinusInfinity;
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (InVocabulary(id)) logits_[id] += bias;
  }
  for (const TokenId id : params.masked_ids) {
    if (InVocabulary(id)) logits_[id] = kMinusInfinity;
  }
}

void NaiveSampler::PenalizeRepetition(float penalty, std::span<const TokenId> prompt,
                                      std::span<const TokenId> output) {
  for (const std::span<const TokenId> ids : {prompt, output}) {
    for (const TokenId id : ids) {
      if (!InVocabulary(id) || counts_[id]++ != 0) continue;
      logits_[id] = logits_[id] > 0.0f ? logits_[id] / penalty : logits_[id] * penalty;
    }
  }
  std::ranges::fill(counts_, 0);
}

void NaiveSampler::PenalizeOutput(const SamplingParams& params, std::span<const TokenId> output) {
  for (const TokenId id : output) {
    if (InVocabulary(id)) ++counts_[id];
  }
  for (const TokenId id : output) {
    if (!InVocabulary(id) || counts_[id] == 0) continue;
    logits_[id] -= params.frequency_penalty * static_cast<float>(counts_[id]) + params.presence_penalty;
    counts_[id] = 0;
  }
}

void NaiveSampler::ComputeWeights(float top, float scale) {
  const float* logits = logits_.data();
  float* weights = weights_.data();
  for (size_t i = 0; i < logits_.size(); ++i) weights[i] = ExpOfNegative((logits[i] - top) * scale);
}

double NaiveSampler::SumFrom(float bound) const {
  double total = 0.0;
  for (size_t at = 0; at < weights_.size(); at += kRun) total += RunSum(&weights_[at], bound);
  return total;
}

void NaiveSampler::Filter(const SamplingParams& params) {
  if (params.top_k > 0 && params.top_k < tokenizer_size_) {
    SelectBest(static_cast<size_t>(params.top_k));
    KeepDownTo(*std::ranges::max_element(best_, kBetter));
  }
  if (params.top_p < 1.0f) FilterTopP(params.top_p);
  // The best weighs 1.
  if (params.min_p > 0.0f) {
    for (float& weight : weights_) weight = weight >= params.min_p ? weight : 0.0f;
  }
}

void NaiveSampler::FilterTopP(double top_p) {
  const double mass = top_p * SumWeights();
  SelectBest(kSmallNucleus);
  std::ranges::sort(best_, kBetter);
  double sum = 0.0;
  for (const Candidate& candidate : best_) {
    sum += candidate.weight;
    if (sum >= mass) return KeepDownTo(candidate);
  }
  if (best_.size() == kSmallNucleus) KeepDownTo(FindLargeNucleus(mass));
}

NaiveSampler::Candidate NaiveSampler::FindLargeNucleus(double mass) const {
  // The largest bound whose weights reach the mass, by halving: floats that are not negative are ordered like
  // their bits.
  uint32_t low = 0, high = std::bit_cast<uint32_t>(1.0f);
  while (low < high) {
    const uint32_t middle = low + (high - low + 1) / 2;
    if (SumFrom(std::bit_cast<float>(middle)) >= mass) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  // Of those at the bound, the lowest ids until the mass is reached.
  Candidate last{std::bit_cast<float>(low), 0};
  double sum = SumFrom(std::bit_cast<float>(low + 1));
  for (size_t id = 0; id < weights_.size() && sum < mass; ++id) {
    if (weights_[id] != last.weight) continue;
    last.id = static_cast<TokenId>(id);
    sum += last.weight;
  }
  return last;
}

void NaiveSampler::SelectBest(size_t count) {
  run_max_.clear();
  for (size_t at = 0; at < weights_.size(); at += kRun) run_max_.push_back(RunMax(&weights_[at]));
  // The count-th best run maximum bounds the count-th best weight from below: few runs remain to be read.
  float bound = std::numeric_limits<float>::min();
  if (count <= run_max_.size()) {
    order_ = run_max_;
    std::ranges::nth_element(order_, order_.begin() + static_cast<ptrdiff_t>(count) - 1, std::greater<>());
    bound = std::max(bound, order_[count - 1]);
  }
  best_.clear();
  for (size_t id = 0; id < weights_.size(); ++id) {
    if (id % kRun == 0 && run_max_[id / kRun] < bound) {
      id += kRun - 1;
    } else if (weights_[id] >= bound) {
      best_.push_back({weights_[id], static_cast<TokenId>(id)});
    }
  }
  if (count < best_.size()) {
    std::ranges::nth_element(best_, best_.begin() + static_cast<ptrdiff_t>(count), kBetter);
    best_.resize(count);
  }
}

void NaiveSampler::KeepDownTo(Candidate last) {
  for (float& weight : weights_) weight = weight >= last.weight ? weight : 0.0f;
  for (size_t id = static_cast<size_t>(last.id) + 1; id < weights_.size(); ++id) {
    weights_[id] = weights_[id] == last.weight ? 0.0f : weights_[id];
  }
}

TokenId NaiveSampler::Pick(double noise) const {
  const double target = noise * SumWeights();
  double before = 0.0, sum = 0.0;
  size_t run = 0, picked = 0;
  for (size_t at = 0; at < weights_.size() && sum <= target; at += kRun) {
    const double weight = RunSum(&weights_[at], 0.0f);
    if (weight == 0.0) continue;
    run = at;
    before = sum;
    sum += weight;
  }
  // A run's sum and its parts may round apart: then its last token stands for the difference.
  sum = before;
  for (size_t id = run; id < run + kRun && sum <= target; ++id) {
    if (weights_[id] == 0.0f) continue;
    picked = id;
    sum += weights_[id];
  }
  return static_cast<TokenId>(picked);
}

}  // namespace quire::kernels
