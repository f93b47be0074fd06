#include "kernels/sampling/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "kernels/sampling/candidates.h"

namespace quire::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

SampleSpec Greedy() {
  SampleSpec spec;
  spec.params.temperature = 0.0f;
  return spec;
}

TokenId GreedyId(const std::vector<float>& logits, const SampleSpec& spec) {
  Sampler sampler(std::ssize(logits));
  const SampledToken token = sampler.Sample(logits, spec);
  EXPECT_FALSE(token.failed);
  return token.id;
}

std::vector<float> RandomLogits(size_t size, float spread, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// Counts of `draws` samples at positions 0, 1, ...
std::map<TokenId, int> Draw(Sampler& sampler, const std::vector<float>& logits, SampleSpec spec, int draws) {
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; ++i) {
    spec.position = static_cast<uint32_t>(i);
    const SampledToken token = sampler.Sample(logits, spec);
    EXPECT_FALSE(token.failed);
    ++counts[token.id];
  }
  return counts;
}

std::set<TokenId> Keys(const std::map<TokenId, int>& counts) {
  std::set<TokenId> keys;
  for (const auto& [id, count] : counts) keys.insert(id);
  return keys;
}

TEST(SamplerTest, GreedyTakesTheLowestIdOfTheBest) {
  EXPECT_EQ(GreedyId({1, 3, 2, 3}, Greedy()), 1);
  std::vector<float> logits(1000, -1.0f);
  logits[777] = logits[900] = 0.0f;
  EXPECT_EQ(GreedyId(logits, Greedy()), 777);
  logits.assign(1000, -5.0f);
  EXPECT_EQ(GreedyId(logits, Greedy()), 0);
}

TEST(SamplerTest, AlmostZeroTemperatureIsGreedy) {
  SampleSpec spec = Greedy();
  for (const float temperature : {1e-45f, 1e-30f, 1e-6f, 1e-4f}) {
    spec.params.temperature = temperature;
    EXPECT_EQ(GreedyId({1, 3, 2, 2.5}, spec), 1);
  }
}

TEST(SamplerTest, BiasAndMask) {
  SampleSpec spec = Greedy();
  spec.params.logit_bias = {{0, 100.0f}, {99, 1.0f}, {-1, 1.0f}};
  EXPECT_EQ(GreedyId({1, 3, 2}, spec), 0);
  spec.params.masked_ids = {0, 1, 99};
  EXPECT_EQ(GreedyId({1, 3, 2}, spec), 2);
}

TEST(SamplerTest, PenaltiesCountWhatTheyShould) {
  const std::vector<TokenId> prompt = {0, 0};
  TokenCounts counts;
  counts.AddPrompt(prompt);
  for (const TokenId id : {1, 1, 2}) counts.AddOutput(id);
  SampleSpec spec = Greedy();
  spec.counts = &counts;
  // Prompt and output, once per id; negative logits are multiplied.
  spec.params.repetition_penalty = 2.0f;
  EXPECT_EQ(GreedyId({4.0f, 3.9f, 3.8f, 2.1f}, spec), 3);
  EXPECT_EQ(GreedyId({4.0f, 3.9f, 3.8f, 1.99f}, spec), 0);
  EXPECT_EQ(GreedyId({-1.0f, -1.1f, -1.2f, -1.9f}, spec), 3);
  // Output only: id 1 twice, id 2 once, id 0 never.
  spec.params.repetition_penalty = 1.0f;
  spec.params.frequency_penalty = 0.5f;
  EXPECT_EQ(GreedyId({3.05f, 4.0f, 3.6f}, spec), 2);
  EXPECT_EQ(GreedyId({3.15f, 4.0f, 3.6f}, spec), 0);
  spec.params.frequency_penalty = 0.0f;
  spec.params.presence_penalty = 1.0f;
  EXPECT_EQ(GreedyId({2.9f, 4.0f, 3.6f}, spec), 1);
  EXPECT_EQ(GreedyId({3.1f, 4.0f, 3.6f}, spec), 0);
  // As if the last two had not come yet.
  const std::vector<TokenId> after = {1, 2};
  spec.uncounted = after;
  EXPECT_EQ(GreedyId({3.5f, 4.0f, 3.6f}, spec), 2);
  EXPECT_EQ(GreedyId({3.5f, 4.7f, 3.6f}, spec), 1);
}

TEST(SamplerTest, FailsOnlyWhereNothingCanBeSampled) {
  Sampler sampler(3);
  SampleSpec spec;
  EXPECT_TRUE(sampler.Sample(std::vector<float>{1, kInfinity, 2}, spec).failed);
  EXPECT_TRUE(sampler.Sample(std::vector<float>{1, std::nanf(""), 2}, spec).failed);
  EXPECT_TRUE(sampler.Sample(std::vector<float>{1, -kInfinity, 2}, spec).failed);
  spec.params.masked_ids = {0, 1, 2};
  EXPECT_TRUE(sampler.Sample(std::vector<float>{1, 1, 2}, spec).failed);
  spec.params.masked_ids = {};
  // The padding behind the tokenizer's ids is neither checked nor sampled.
  EXPECT_FALSE(sampler.Sample(std::vector<float>{1, 1, 2, kInfinity}, spec).failed);
}

TEST(SamplerTest, DrawsFollowTheSoftmax) {
  const std::vector<float> logits = RandomLogits(100, 1.5f, 1);
  Sampler sampler(100);
  SampleSpec spec;
  spec.params.temperature = 0.8f;
  constexpr int kDraws = 40'000;
  const auto counts = Draw(sampler, logits, spec, kDraws);
  double total = 0.0;
  for (const float logit : logits) total += std::exp(logit / 0.8);
  for (size_t id = 0; id < logits.size(); ++id) {
    const double p = std::exp(logits[id] / 0.8) / total;
    const auto found = counts.find(static_cast<TokenId>(id));
    const double seen = found == counts.end() ? 0.0 : found->second;
    EXPECT_NEAR(seen, kDraws * p, 5.0 * std::sqrt(kDraws * p) + 1.0) << id;
  }
}

TEST(SamplerTest, TopKKeepsTheBestAndBreaksTiesByLowestId) {
  std::vector<float> logits(500, 0.0f);
  logits[400] = 1.0f;
  Sampler sampler(500);
  SampleSpec spec;
  spec.params.top_k = 4;
  spec.params.temperature = 5.0f;
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 500)), (std::set<TokenId>{0, 1, 2, 400}));
  spec.params.top_k = 1;
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 50)), (std::set<TokenId>{400}));
  spec.params.top_k = 100'000;
  EXPECT_GT(Keys(Draw(sampler, logits, spec, 2000)).size(), 400u);
}

TEST(SamplerTest, TopPKeepsTheSmallestNucleus) {
  // Probabilities 0.4, 0.3, 0.2, 0.1.
  const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f), std::log(0.3f)};
  Sampler sampler(4);
  SampleSpec spec;
  for (const auto& [top_p, kept] : std::map<float, std::set<TokenId>>{
           {0.01f, {1}}, {0.39f, {1}}, {0.41f, {1, 3}}, {0.71f, {0, 1, 3}}, {0.95f, {0, 1, 2, 3}}}) {
    spec.params.top_p = top_p;
    EXPECT_EQ(Keys(Draw(sampler, logits, spec, 500)), kept) << top_p;
  }
  // Of what top_k left: 0.4 / 0.7 of the mass is id 1's.
  spec.params.top_k = 2;
  spec.params.top_p = 0.55f;
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 500)), (std::set<TokenId>{1}));
}

TEST(SamplerTest, MinPIsRelativeToTheBest) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.1f), std::log(0.3f)};
  Sampler sampler(4);
  SampleSpec spec;
  spec.params.min_p = 0.51f;
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 500)), (std::set<TokenId>{1, 3}));
  spec.params.min_p = 1.0f;
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 50)), (std::set<TokenId>{1}));
}

// The kept ids with their probabilities, by a full sort in double precision.
std::map<TokenId, double> NaiveKept(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::ranges::stable_sort(ids, [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  if (params.top_k > 0) ids.resize(std::min<size_t>(ids.size(), params.top_k));
  const auto weight = [&](TokenId id) {
    return std::exp((double{logits[id]} - double{logits[ids[0]]}) / double{params.temperature});
  };
  double total = 0.0, sum = 0.0;
  for (const TokenId id : ids) total += weight(id);
  std::map<TokenId, double> kept;
  for (const TokenId id : ids) {
    if (!kept.empty() && (sum >= double{params.top_p} * total || weight(id) < params.min_p)) break;
    kept[id] = weight(id);
    sum += weight(id);
  }
  for (auto& [id, share] : kept) share /= sum;
  return kept;
}

TEST(SamplerTest, FiltersOfALargeVocabularyEqualAFullSort) {
  for (const float spread : {0.05f, 1.0f, 4.0f}) {
    const std::vector<float> logits = RandomLogits(8'000, spread, 3);
    Sampler sampler(8'000);
    for (const auto& [top_k, top_p, min_p] : std::vector<std::tuple<int, float, float>>{
             {40, 1.0f, 0.0f}, {0, 0.9f, 0.0f}, {0, 0.3f, 0.0f}, {0, 1.0f, 0.1f}, {1000, 0.5f, 0.01f}}) {
      SampleSpec spec;
      spec.params.temperature = 0.9f;
      spec.params.top_k = top_k;
      spec.params.top_p = top_p;
      spec.params.min_p = min_p;
      SCOPED_TRACE(testing::Message() << "spread " << spread << " top_k " << top_k << " top_p " << top_p);
      const std::map<TokenId, double> kept = NaiveKept(logits, spec.params);
      constexpr int kDraws = 1000;
      std::map<TokenId, int> counts = Draw(sampler, logits, spec, kDraws);
      for (const auto& [id, count] : counts) EXPECT_TRUE(kept.contains(id)) << id;
      for (const auto& [id, share] : kept) {  // each as often as it is likely, within six deviations
        const double expected = kDraws * share;
        EXPECT_LE(std::abs(counts[id] - expected), 6 * std::sqrt(expected * (1 - share)) + 2) << id;
      }
    }
  }
}

TEST(SamplerTest, ATokenIsAFunctionOfItsSpecAlone) {
  const std::vector<float> logits = RandomLogits(1000, 2.0f, 4), other = RandomLogits(1000, 2.0f, 5);
  TokenCounts counts;
  for (const TokenId id : {1, 2, 3}) counts.AddOutput(id);
  SampleSpec spec;
  spec.seed = 42;
  spec.choice = 1;
  spec.position = 7;
  spec.params.logprobs = true;
  Sampler fresh(1000), used(1000);
  SampleSpec noisy = spec;
  noisy.counts = &counts;
  noisy.params.presence_penalty = 1.5f;
  noisy.params.repetition_penalty = 1.5f;
  noisy.params.top_p = 0.5f;
  noisy.params.masked_ids = {4};
  used.Sample(other, noisy);
  const SampledToken a = fresh.Sample(logits, spec), b = used.Sample(logits, spec);
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.logprob, b.logprob);
}

TEST(SamplerTest, LogprobIsOfTheRawLogits) {
  const std::vector<float> logits = RandomLogits(1000, 2.0f, 6);
  SampleSpec spec;
  spec.params.logprobs = true;
  spec.params.temperature = 2.0f;
  spec.params.logit_bias = {{17, 100.0f}};
  Sampler sampler(1000);
  const SampledToken token = sampler.Sample(logits, spec);
  ASSERT_EQ(token.id, 17);
  double total = 0.0;
  for (const float logit : logits) total += std::exp(double{logit});
  EXPECT_NEAR(token.logprob, double{logits[17]} - std::log(total), 1e-5);
}

TEST(SamplerTest, SaysWhatItTakes) {
  const int64_t bins = 8 * 0x3f81;
  EXPECT_EQ(Sampler::BytesFor(64), 64 * (4 + 4 + 8) + (64 * 4 + 5 * 4) + bins);
  EXPECT_EQ(Sampler::BytesFor(65), 65 * (4 + 4 + 8) + 2 * (64 * 4 + 5 * 4) + bins);
}

TEST(SamplerTest, AGrammarAllowsIdsByBits) {
  const std::vector<uint32_t> words = {1u << 3 | 1u << 31, 1u << 1};  // ids 3, 31 and 33
  std::vector<float> logits(100, 1.0f);
  logits[31] = 2.0f;
  logits[99] = 9.0f;  // behind the words
  SampleSpec spec;
  spec.allowed = words;
  Sampler sampler(100);
  EXPECT_EQ(Keys(Draw(sampler, logits, spec, 300)), (std::set<TokenId>{3, 31, 33}));
  spec.params.temperature = 0.0f;
  spec.params.masked_ids = {31};
  spec.params.logit_bias = {{0, 100.0f}};
  EXPECT_EQ(sampler.Sample(logits, spec).id, 3);
  spec.params.masked_ids = {3, 31, 33};
  EXPECT_TRUE(sampler.Sample(logits, spec).failed);
}

TEST(SamplerTest, TopLogprobsAreTheRawLogitsBest) {
  std::vector<float> logits = RandomLogits(1000, 2.0f, 7);
  logits[5] = logits[900] = 20.0f;
  SampleSpec spec = Greedy();
  spec.params.top_logprobs = 3;
  spec.params.masked_ids = {5, 900};
  Sampler sampler(1000);
  const SampledToken token = sampler.Sample(logits, spec);
  ASSERT_EQ(token.top_logprobs.size(), 3u);
  EXPECT_EQ(token.top_logprobs[0].id, 5);
  EXPECT_EQ(token.top_logprobs[1].id, 900);
  EXPECT_EQ(token.top_logprobs[1].logprob, token.top_logprobs[0].logprob);
  EXPECT_EQ(token.top_logprobs[2].id, token.id);
  EXPECT_EQ(token.top_logprobs[2].logprob, token.logprob);
  EXPECT_NEAR(token.top_logprobs[0].logprob, -std::log(2.0), 1e-3);
  spec.params.top_logprobs = 20;
  EXPECT_EQ(Sampler(7).Sample(logits, spec).top_logprobs.size(), 7u);
}

// What is asked of a prompt's token, and what an answer's is told, are the same bits.
TEST(SamplerTest, AScoredIdHasTheLogprobThatSamplingItTells) {
  const std::vector<float> logits = RandomLogits(1000, 2.0f, 8);
  Sampler sampler(1000);
  SampleSpec sampled;
  sampled.params = {.temperature = 1.7f, .logit_bias = {{4, 3.0f}}, .top_logprobs = 5};
  for (uint32_t position = 0; position < 20; ++position) {
    sampled.position = position;
    const SampledToken token = sampler.Sample(logits, sampled);
    SampleSpec scored;
    scored.params = {.masked_ids = {token.id}, .top_logprobs = 5};  // of the raw logits
    scored.scored = token.id;
    const SampledToken score = sampler.Sample(logits, scored);
    EXPECT_EQ(score.id, token.id);
    EXPECT_EQ(score.logprob, token.logprob);
    ASSERT_EQ(score.top_logprobs.size(), 5u);
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(score.top_logprobs[i].id, token.top_logprobs[i].id);
      EXPECT_EQ(score.top_logprobs[i].logprob, token.top_logprobs[i].logprob);
    }
  }
}

TEST(SamplerTest, AnIdThatIsNeverSampledScoresZeroProbability) {
  SampleSpec spec;
  spec.scored = 3;
  const SampledToken token = Sampler(3).Sample(std::vector<float>{1, 2, 3, 9}, spec);
  EXPECT_FALSE(token.failed);
  EXPECT_EQ(token.logprob, -kInfinity);
  EXPECT_TRUE(NeedOf(spec).whole());
  EXPECT_TRUE(Sampler(3).Sample(std::vector<float>{1, kInfinity, 3}, spec).failed);
}

}  // namespace
}  // namespace quire::kernels
