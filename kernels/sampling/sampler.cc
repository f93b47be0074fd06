#include "kernels/sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <numeric>

#include "kernels/sampling/adjusted_row.h"
#include "kernels/sampling/fixed_math.h"
#include "kernels/sampling/run_bounds.h"

namespace quire::kernels {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Far more than what a sum of a row's weights is off by, relatively.
constexpr double kSumsApart = 1e-5;
// A nucleus is looked for among so many of the best, then among more, then by its mass.
constexpr size_t kSmallNuclei[] = {32, 256};

// Weights are at most 1.
constexpr int kBinShift = 16;
constexpr size_t kBins = (std::bit_cast<uint32_t>(1.0f) >> kBinShift) + 1;

size_t BinOf(float weight) { return std::bit_cast<uint32_t>(weight) >> kBinShift; }

constexpr auto kBetter = [](const auto& a, const auto& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.place < b.place;
};

float Logprob(float logit, double log_total) {
  return static_cast<float>(static_cast<double>(logit) - log_total);
}

}  // namespace

Sampler::Sampler(int64_t tokenizer_size, const RowScans& scans)
    : tokenizer_size_(tokenizer_size), scans_(scans) {
  const int64_t runs = (tokenizer_size + kRunIds - 1) / kRunIds;
  adjusted_.resize(tokenizer_size);
  maxima_.resize(runs);
  order_.reserve(tokenizer_size);
  runs_.reserve(runs);
  sums_.resize(runs);
  scratch_.resize(runs);
  weights_.resize(runs * kRunIds);
  best_.reserve(tokenizer_size);  // where all are equal
  bins_.reserve(kBins);
}

int64_t Sampler::BytesFor(int64_t tokenizer_size) {
  constexpr int64_t kOfRun = kRunIds * sizeof(float) + 4 * sizeof(float) + sizeof(int32_t);
  const int64_t runs = (tokenizer_size + kRunIds - 1) / kRunIds;
  const auto bins = static_cast<int64_t>(kBins * sizeof(double));
  return tokenizer_size * static_cast<int64_t>(2 * sizeof(float) + sizeof(Candidate)) + runs * kOfRun + bins;
}

std::span<const float> Sampler::TakeRow(std::span<const float> logits, std::span<const int32_t> runs) {
  row_runs_ = runs;
  const int64_t all = (tokenizer_size_ + kRunIds - 1) / kRunIds;
  const int64_t count = runs.empty() ? all : std::ssize(runs);
  const bool has_last = runs.empty() || runs.back() == all - 1;
  const int64_t missing = has_last ? all * kRunIds - tokenizer_size_ : 0;
  maxima_.resize(static_cast<size_t>(count));
  return logits.first(static_cast<size_t>(count * kRunIds - missing));
}

SampledToken Sampler::Sample(std::span<const float> logits, const SampleSpec& spec,
                             std::span<const int32_t> runs) {
  std::span<const float> row = TakeRow(logits, runs);
  SampledToken token;
  // Not a number where one isn't finite.
  token.failed = scans_.maxima(row.data(), std::ssize(row), maxima_.data()) != 0.0f;
  if (token.failed) return token;
  const bool scores = spec.scored >= 0;
  const bool logprobs = scores || spec.params.logprobs || spec.params.top_logprobs > 0;
  const double log_total = logprobs ? LogTotal(row) : 0.0;
  if (spec.params.top_logprobs > 0) {
    const int32_t count = std::min(spec.params.top_logprobs, kMaxTopLogprobs);
    token.top_logprobs = TopLogprobs(row, static_cast<size_t>(count), log_total);
  }
  if (scores) {
    token.id = spec.scored;
    token.logprob = token.id < tokenizer_size_ ? Logprob(logits[token.id], log_total) : kMinusInfinity;
    return token;
  }
  if (IsAdjusted(spec)) {
    AdjustRow(row, spec, scans_, adjusted_);
    row = std::span<const float>(adjusted_).first(row.size());
    scans_.maxima(row.data(), std::ssize(row), maxima_.data());
  }
  const float top = *std::ranges::max_element(maxima_);
  token.failed = !std::isfinite(top);
  if (token.failed) return token;
  token.id = spec.params.temperature < kGreedyBelow ? PickGreedily(row, top) : PickByNoise(row, top, spec);
  if (logprobs) token.logprob = Logprob(logits[token.id], log_total);
  return token;
}

std::vector<std::pair<TokenId, float>> Sampler::Kept() const {
  std::vector<std::pair<TokenId, float>> kept;
  for (int64_t place = 0; place < std::ssize(runs_) * kRunIds; ++place) {
    if (weights_[place] != 0.0f) kept.emplace_back(IdAt(place), weights_[place]);
  }
  return kept;
}

double Sampler::LogTotal(std::span<const float> row) {
  const float top = *std::ranges::max_element(maxima_);
  runs_.resize(maxima_.size());
  std::iota(runs_.begin(), runs_.end(), 0);
  scans_.weigh({.logits = row.data(),
                .ids = std::ssize(row),
                .runs = runs_.data(),
                .count = std::ssize(runs_),
                .top = top,
                .scale = 1.0f,
                .weights = nullptr,
                .sums = sums_.data()});
  return static_cast<double>(top) + LogOfPositive(SumWeights());
}

std::vector<TokenLogprob> Sampler::TopLogprobs(std::span<const float> row, size_t count, double log_total) {
  float bound = kMinusInfinity;
  if (count <= maxima_.size()) bound = NthLargest(maxima_, count);
  best_.clear();
  int32_t found[kRunIds];
  for (size_t run = 0; run < maxima_.size(); ++run) {
    if (maxima_[run] < bound) continue;
    const auto first = static_cast<int32_t>(run * kRunIds);
    const int64_t size = scans_.find(&row[first], std::min(kRunIds, std::ssize(row) - first), bound, found);
    for (int64_t i = 0; i < size; ++i) best_.push_back({row[first + found[i]], first + found[i]});
  }
  count = std::min(count, best_.size());
  std::partial_sort(best_.begin(), best_.begin() + static_cast<ptrdiff_t>(count), best_.end(), kBetter);
  std::vector<TokenLogprob> top;
  for (size_t i = 0; i < count; ++i) top.push_back({best_[i].place, Logprob(best_[i].weight, log_total)});
  return top;
}

TokenId Sampler::PickGreedily(std::span<const float> row, float top) const {
  const int64_t run = std::ranges::find(maxima_, top) - maxima_.begin();
  return IdOf(std::find(row.begin() + run * kRunIds, row.end(), top) - row.begin());
}

TokenId Sampler::PickByNoise(std::span<const float> row, float top, const SampleSpec& spec) {
  const float scale = 1.0f / spec.params.temperature;
  Weigh(row, top, scale, LeastExponent(spec.params, top, scale));
  Filter(spec.params);
  return Pick(UniformNoise(spec.seed, spec.choice, spec.position));
}

float Sampler::LeastExponent(const SamplingParams& params, float top, float scale) {
  float least = kLeastExponent;
  const auto top_k = static_cast<size_t>(params.top_k);
  if (params.top_k > 0 && top_k <= maxima_.size()) {
    // The k-th best run's best bounds the k-th best from below.
    least = std::max(least, LeastOfBest(NthLargest(maxima_, top_k), top, scale));
  }
  // The nucleus is one of all that top_k leaves, min_p's part of it or not.
  if (params.min_p >= std::numeric_limits<float>::min() && params.top_p >= 1.0f) {
    least = std::max(least, static_cast<float>(LogOfPositive(params.min_p)) - kApart);
  }
  return least;
}

float Sampler::NthLargest(std::span<const float> values, size_t count) {
  return kernels::NthLargest(values, count, scans_, order_, groups_);
}

void Sampler::Weigh(std::span<const float> row, float top, float scale, float least) {
  runs_.clear();
  for (size_t run = 0; run < maxima_.size(); ++run) {
    if ((maxima_[run] - top) * scale >= least) runs_.push_back(static_cast<int32_t>(run));
  }
  scans_.weigh({.logits = row.data(),
                .ids = std::ssize(row),
                .runs = runs_.data(),
                .count = std::ssize(runs_),
                .top = top,
                .scale = scale,
                .weights = weights_.data(),
                .sums = sums_.data()});
}

double Sampler::SumWeights() const {
  double total = 0.0;
  for (size_t i = 0; i < runs_.size(); ++i) total += sums_[i];
  return total;
}

double Sampler::SumFrom(float bound) {
  scans_.sum(weights_.data(), std::ssize(runs_), bound, scratch_.data());
  double total = 0.0;
  for (size_t i = 0; i < runs_.size(); ++i) total += scratch_[i];
  return total;
}

void Sampler::Filter(const SamplingParams& params) {
  if (params.top_k > 0 && params.top_k < tokenizer_size_) {
    SelectBest(static_cast<size_t>(params.top_k));
    KeepBest();
  }
  if (params.top_p < 1.0f) FilterTopP(params.top_p);
  // The best weighs 1.
  if (params.min_p > 0.0f) KeepFrom(params.min_p);
}

void Sampler::FilterTopP(double top_p) {
  const double mass = top_p * SumWeights();
  for (const size_t count : kSmallNuclei) {
    SelectBest(count);
    std::ranges::sort(best_, kBetter);
    double sum = 0.0;
    for (size_t i = 0; i < best_.size(); ++i) {
      sum += best_[i].weight;
      if (sum < mass) continue;
      best_.resize(i + 1);
      return KeepBest();
    }
    if (best_.size() < count) return;  // all of them are the nucleus
  }
  KeepDownTo(FindLargeNucleus(mass));
}

Sampler::Candidate Sampler::FindLargeNucleus(double mass) {
  // The greatest weight that reaches the mass together with all greater ones. Sums depend on their order, so
  // only what is certain in any order leaves out candidates; of the others, halves.
  const BitRange range = BitsOfLast(mass);
  order_.clear();
  for (const float weight : std::span(weights_).first(runs_.size() * kRunIds)) {
    const auto bits = std::bit_cast<uint32_t>(weight);
    if (bits >= range.begin && bits < range.end) order_.push_back(weight);
  }
  auto begin = order_.begin(), end = order_.end();
  while (end - begin > 1) {
    const auto middle = begin + (end - begin - 1) / 2;
    std::nth_element(begin, middle, end, std::greater<>());
    if (SumFrom(*middle) >= mass) {
      end = middle + 1;
    } else {
      begin = middle + 1;
    }
  }
  Candidate last{*begin, 0};
  // Of those at the bound, the lowest ids until the mass is reached.
  double sum = SumFrom(std::bit_cast<float>(std::bit_cast<uint32_t>(last.weight) + 1));
  const int64_t places = std::ssize(runs_) * kRunIds;
  for (int64_t place = 0; place < places && sum < mass; ++place) {
    if (weights_[place] != last.weight) continue;
    last.place = static_cast<int32_t>(place);
    sum += last.weight;
  }
  return last;
}

template <typename Share>
void Sampler::FillBins(const Share& share) {
  bins_.assign(kBins, 0.0);
  for (const float weight : std::span(weights_).first(runs_.size() * kRunIds)) {
    bins_[BinOf(weight)] += share(weight);
  }
}

float Sampler::BoundOfBest(size_t count) {
  FillBins([](float) { return 1.0; });
  double above = 0.0;
  size_t bin = kBins;
  while (bin > 0 && above < static_cast<double>(count)) above += bins_[--bin];
  return std::bit_cast<float>(static_cast<uint32_t>(bin << kBinShift));
}

Sampler::BitRange Sampler::BitsOfLast(double mass) {
  FillBins([](float weight) { return double{weight}; });
  BitRange range{1, std::bit_cast<uint32_t>(1.0f) + 1};
  double sum = 0.0;
  for (size_t bin = kBins; bin-- > 0;) {
    sum += bins_[bin];
    const auto first = static_cast<uint32_t>(bin << kBinShift);
    if (sum < mass * (1.0 - kSumsApart)) range.end = first;
    if (sum > mass * (1.0 + kSumsApart)) {
      range.begin = std::max(range.begin, first);
      break;
    }
  }
  return range;
}

void Sampler::SelectBest(size_t count) {
  const size_t runs = runs_.size();
  float bound = std::numeric_limits<float>::min();
  if (count <= runs) {
    // The count-th best run maximum bounds the count-th best weight from below: few runs remain to be read.
    scans_.maxima(weights_.data(), std::ssize(runs_) * kRunIds, scratch_.data());
    bound = std::max(bound, NthLargest(std::span(scratch_).first(runs), count));
  } else if (count < runs * kRunIds && kBins < runs * kRunIds) {  // else it is less to take them all
    bound = std::max(bound, BoundOfBest(count));
  }
  best_.clear();
  int32_t found[kRunIds];
  for (size_t run = 0; run < runs; ++run) {
    const auto first = static_cast<int32_t>(run) * static_cast<int32_t>(kRunIds);
    const int64_t size = scans_.find(&weights_[first], kRunIds, bound, found);
    for (int64_t i = 0; i < size; ++i) best_.push_back({weights_[first + found[i]], first + found[i]});
  }
  if (count < best_.size()) {
    std::ranges::nth_element(best_, best_.begin() + static_cast<ptrdiff_t>(count), kBetter);
    best_.resize(count);
  }
}

void Sampler::KeepBest() {
  std::ranges::sort(best_, {}, &Candidate::place);
  // Runs without one are gone; what is left of the others moves forward.
  size_t runs = 0;
  for (size_t i = 0, next = 0; i < best_.size(); i = next) {
    const int64_t run = best_[i].place / kRunIds;
    runs_[runs] = runs_[run];
    float* weights = &weights_[runs * kRunIds];
    std::fill_n(weights, kRunIds, 0.0f);
    for (next = i; next < best_.size() && best_[next].place / kRunIds == run; ++next) {
      weights[best_[next].place % kRunIds] = best_[next].weight;
    }
    ++runs;
  }
  runs_.resize(runs);
  scans_.sum(weights_.data(), std::ssize(runs_), 0.0f, sums_.data());
}

void Sampler::KeepDownTo(Candidate last) {
  const size_t places = runs_.size() * kRunIds;
  for (size_t place = static_cast<size_t>(last.place) + 1; place < places; ++place) {
    weights_[place] = weights_[place] == last.weight ? 0.0f : weights_[place];
  }
  KeepFrom(last.weight);
}

void Sampler::KeepFrom(float bound) {
  const size_t places = runs_.size() * kRunIds;
  for (size_t place = 0; place < places; ++place) {
    weights_[place] = weights_[place] >= bound ? weights_[place] : 0.0f;
  }
  scans_.sum(weights_.data(), std::ssize(runs_), 0.0f, sums_.data());
}

TokenId Sampler::Pick(double noise) const {
  const double target = noise * SumWeights();
  double before = 0.0, sum = 0.0;
  size_t run = 0;
  for (size_t i = 0; i < runs_.size() && sum <= target; ++i) {
    if (sums_[i] == 0.0f) continue;
    run = i;
    before = sum;
    sum += sums_[i];
  }
  // A run's sum and its parts may round apart: then its last token stands for the difference.
  sum = before;
  int64_t picked = 0;
  for (int64_t place = static_cast<int64_t>(run) * kRunIds, end = place + kRunIds;
       place < end && sum <= target; ++place) {
    if (weights_[place] == 0.0f) continue;
    picked = place;
    sum += weights_[place];
  }
  return IdAt(picked);
}

}  // namespace quire::kernels
