#include "kernels/sampling/testing/sampler_cases.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <random>

#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/naive_sampler.h"

namespace quire::kernels {
namespace {

// What penalties count: an output, and what comes of it after the row.
constexpr TokenId kPrompt[] = {0, 3, 3, 70, 1 << 20}, kOutput[] = {3, 5, 5, 1, -1, 1 << 20, 5, 40, 0};
constexpr size_t kAfter = 3;

const TokenCounts& CountsOfAll() {
  static const TokenCounts kCounts = [] {
    TokenCounts counts;
    counts.AddPrompt(kPrompt);
    for (const TokenId id : kOutput) counts.AddOutput(id);
    return counts;
  }();
  return kCounts;
}

template <typename T>
T OneOf(std::mt19937& random, std::initializer_list<T> values) {
  return values.begin()[random() % values.size()];
}

void Adjust(SampleSpec& spec, int64_t ids, std::mt19937& random) {
  SamplingParams& params = spec.params;
  params.repetition_penalty = OneOf(random, {1.0f, 1.3f, 0.7f});
  params.presence_penalty = OneOf(random, {0.0f, 1.0f});
  params.frequency_penalty = OneOf(random, {0.0f, 0.5f, -0.5f});
  const auto any_id = [&] { return static_cast<TokenId>(random() % static_cast<uint64_t>(ids)); };
  params.logit_bias = {{any_id(), 5.0f}, {any_id(), -100.0f}, {any_id(), 1.0f}, {-1, 1.0f}, {1 << 20, 1.0f}};
  for (int i = OneOf(random, {0, 1, 30}); i > 0; --i) params.masked_ids.push_back(any_id());
}

// Some hundred words of any bits, of few bits and of none.
const std::vector<uint32_t>& GrammarWords() {
  static const std::vector<uint32_t> kWords = [] {
    std::mt19937 random(9);
    std::vector<uint32_t> words(5000);
    for (uint32_t& word : words) {
      const auto any = static_cast<uint32_t>(random()), few = any & static_cast<uint32_t>(random());
      word = OneOf<uint32_t>(random, {any, few, 0, ~0u});
    }
    return words;
  }();
  return kWords;
}

// As long as the vocabulary needs, or shorter.
std::span<const uint32_t> AnyGrammar(int64_t ids, std::mt19937& random) {
  const auto words = static_cast<size_t>((ids + 31) / 32);
  const size_t first = random() % (GrammarWords().size() - words + 1);
  return std::span(GrammarWords()).subspan(first, OneOf(random, {words, words, 1 + words / 2}));
}

void ExpectSame(Sampler& sampler, NaiveSampler& naive, const std::vector<float>& row,
                const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  SCOPED_TRACE(testing::Message() << "temperature " << params.temperature << " top_k " << params.top_k
                                  << " top_p " << params.top_p << " min_p " << params.min_p);
  const auto output = std::span(kOutput).first(std::size(kOutput) - spec.uncounted.size());
  const SampledToken got = sampler.Sample(row, spec), want = naive.Sample(row, spec, kPrompt, output);
  ASSERT_EQ(got.failed, want.failed);
  ASSERT_EQ(got.id, want.id);
  ASSERT_EQ(got.top_logprobs.size(), want.top_logprobs.size());
  for (size_t i = 0; i < want.top_logprobs.size(); ++i) {
    ASSERT_EQ(got.top_logprobs[i].id, want.top_logprobs[i].id) << i;
    ASSERT_EQ(got.top_logprobs[i].logprob, want.top_logprobs[i].logprob) << i;
  }
  ASSERT_EQ(std::bit_cast<uint32_t>(got.logprob), std::bit_cast<uint32_t>(want.logprob));
  if (got.failed || params.temperature < 1e-4f) return;  // nothing is weighed
  ASSERT_TRUE(sampler.Kept() == naive.Kept());
}

}  // namespace

std::vector<std::vector<float>> UglyRows(int64_t ids, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto row = [&](const std::function<float(int64_t)>& value) {
    std::vector<float> out;
    for (int64_t id = 0; id < ids; ++id) out.push_back(value(id));
    return out;
  };
  const int64_t peak = static_cast<int64_t>(random() % static_cast<uint64_t>(ids));
  return {row([&](int64_t) { return 2.5f * normal(random); }),
          row([&](int64_t) { return 0.05f * normal(random) - 20.0f; }),
          row([&](int64_t) { return 30.0f * normal(random); }),
          row([&](int64_t) { return std::round(2.0f * normal(random)) / 2.0f; }),
          row([&](int64_t id) { return id % 7 == 0 ? 1e-6f * normal(random) : -1e-6f; }),
          row([&](int64_t) { return -3.0f; }),
          row([&](int64_t id) { return id == peak ? 50.0f : normal(random); }),
          row([&](int64_t id) { return id < peak ? -1.0f : 1.0f; }),
          row([&](int64_t) {
            return OneOf(random, {0.0f, -0.0f, -86.9f, -87.0f, -87.1f});
          }),
          row([&](int64_t) {
            return OneOf(random, {3e38f, -3e38f, 1.0f, 0.0f});
          })};
}

std::vector<SampleSpec> AssortedSpecs(int64_t ids, int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  const auto size = static_cast<int32_t>(ids);
  std::vector<SampleSpec> specs(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    SampleSpec& spec = specs[i];
    SamplingParams& params = spec.params;
    params.temperature = OneOf(random, {0.0f, 0.3f, 0.6f, 1.0f, 1.0f, 1.7f, 100.0f, 1e-3f});
    params.top_k =
        OneOf(random, {0, 0, 0, 1, 2, 20, 31, 32, 33, 255, 256, 257, 1000, 5000, size - 1, size, size + 5});
    params.top_p = OneOf(random, {1.0f, 1.0f, 0.95f, 0.5f, 0.0f, 0.999f, 0.9999999f});
    params.min_p = OneOf(random, {0.0f, 0.0f, 0.0f, 0.05f, 0.5f, 1.0f, 1e-30f, 1e-40f});
    params.logprobs = random() % 2 == 0;
    params.top_logprobs = OneOf(random, {0, 0, 1, 5, 20, 21});
    spec.seed = random();
    spec.choice = random() % 3;
    spec.position = static_cast<uint32_t>(i);
    spec.counts = &CountsOfAll();
    if (i % 2 == 0) spec.uncounted = std::span(kOutput).last(kAfter);
    if (i % 5 == 0) Adjust(spec, ids, random);
    if (i % 7 == 0) spec.allowed = AnyGrammar(ids, random);
  }
  return specs;
}

void ExpectNaiveChoices(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed) {
  Sampler sampler(ids, scans);
  NaiveSampler naive(ids);
  const std::vector<std::vector<float>> rows = UglyRows(ids, seed);
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(testing::Message() << ids << " ids, row " << i);
    for (const SampleSpec& spec : AssortedSpecs(ids, specs_per_row, seed + static_cast<uint32_t>(i))) {
      ExpectSame(sampler, naive, rows[i], spec);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
  std::vector<float> row = rows[0];
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const int64_t at : {int64_t{0}, ids / 2, ids - 1}) {
      const float good = std::exchange(row[at], bad);
      ExpectSame(sampler, naive, row, AssortedSpecs(ids, 1, seed)[0]);
      row[at] = good;
    }
  }
}

}  // namespace quire::kernels
