#include "kernels/sampling/testing/sampler_cases.h"

#include <bit>
#include <cmath>
#include <functional>
#include <random>

namespace quire::kernels {
namespace {

// So many of the output come after the row.
constexpr size_t kAfter = 3;

const TokenCounts& CountsOfAll() {
  static const TokenCounts kCounts = [] {
    TokenCounts counts;
    counts.AddPrompt(kCountedPrompt);
    for (const TokenId id : kCountedOutput) counts.AddOutput(id);
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
    if (i % 2 == 0) spec.uncounted = std::span(kCountedOutput).last(kAfter);
    if (i % 5 == 0) Adjust(spec, ids, random);
    if (i % 7 == 0) spec.allowed = AnyGrammar(ids, random);
    if (i % 11 == 4) spec.scored = static_cast<TokenId>(i * 7919 % (ids + 2));
  }
  return specs;
}

std::string DifferenceOf(const SampledToken& got, const SampledToken& want) {
  const auto text = [](const char* what, auto a, auto b) {
    return std::string(what) + " " + std::to_string(a) + " instead of " + std::to_string(b);
  };
  const auto differ = [](float a, float b) {
    return std::bit_cast<uint32_t>(a) != std::bit_cast<uint32_t>(b);
  };
  if (got.failed != want.failed) return text("failed", got.failed, want.failed);
  if (got.id != want.id) return text("id", got.id, want.id);
  if (differ(got.logprob, want.logprob)) return text("logprob", got.logprob, want.logprob);
  if (got.top_logprobs.size() != want.top_logprobs.size()) {
    return text("top_logprobs", got.top_logprobs.size(), want.top_logprobs.size());
  }
  for (size_t i = 0; i < want.top_logprobs.size(); ++i) {
    const TokenLogprob &a = got.top_logprobs[i], &b = want.top_logprobs[i];
    if (a.id != b.id) return text("a likely id", a.id, b.id);
    if (differ(a.logprob, b.logprob)) return text("a likely id's logprob", a.logprob, b.logprob);
  }
  return "";
}

}  // namespace quire::kernels
