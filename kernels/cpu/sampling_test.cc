// The sampler over the scans of each instruction set: the naive one's choices, bit by bit, from whole rows
// and from candidates, and tokens as often as they are likely.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/cpu/float_mode.h"
#include "kernels/cpu/isa.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/candidate_cases.h"
#include "kernels/sampling/testing/naive_choices.h"

namespace quire::kernels::cpu {
namespace {

class SamplingTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto kernels = ChooseKernels(GetParam());
    if (!kernels.ok()) GTEST_SKIP() << kernels.status();
    scans_ = kernels->scans;
  }

  const RowScans* scans_ = nullptr;
  const FlushDenormals flush_;
};

TEST_P(SamplingTest, SmallVocabulariesOfEverySize) {
  for (const int64_t ids : {1, 15, 16, 17, 63, 64, 65, 127, 300, 1027}) {
    ExpectNaiveChoices(*scans_, ids, 100, static_cast<uint32_t>(ids));
  }
}

TEST_P(SamplingTest, VocabulariesOfRealModels) {
  ExpectNaiveChoices(*scans_, 49'152, 15, 1);
  ExpectNaiveChoices(*scans_, 152'064, 8, 2);
  ExpectNaiveChoices(*scans_, 151'643, 2, 3);
}

TEST_P(SamplingTest, CandidatesOfSeveralRanksGiveTheWholeRowsToken) {
  for (const int64_t ids : {1, 64, 65, 300, 1027}) {
    ExpectCandidatesSuffice(*scans_, ids, 60, static_cast<uint32_t>(ids));
  }
  ExpectCandidatesSuffice(*scans_, 49'152, 15, 1);
  ExpectCandidatesSuffice(*scans_, 151'643, 6, 3);
}

// Ids in groups of about the same probability each; returns how far the counts of the draws are from it, in
// standard deviations of chi-square.
double Unlikelihood(const RowScans& scans, int64_t ids, SampleSpec spec, int draws) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0.0f, 2.5f);
  std::vector<float> logits(ids);
  for (float& logit : logits) logit = normal(random);
  Sampler sampler(ids, scans);
  sampler.Sample(logits, spec);
  const std::vector<std::pair<TokenId, float>> kept = sampler.Kept();
  double total = 0.0, sum = 0.0;
  for (const auto& [id, weight] : kept) total += std::exp(logits[id] / spec.params.temperature);
  constexpr int kGroups = 50;
  std::vector<int> group_of(ids, -1);
  double expected[kGroups] = {}, counts[kGroups] = {};
  for (const auto& [id, weight] : kept) {
    const int group = std::min(kGroups - 1, static_cast<int>(sum / total * kGroups));
    const double p = std::exp(logits[id] / spec.params.temperature) / total;
    group_of[id] = group;
    expected[group] += p * draws;
    sum += p * total;
  }
  for (int i = 0; i < draws; ++i) {
    spec.position = static_cast<uint32_t>(i);
    const TokenId id = sampler.Sample(logits, spec).id;
    if (group_of[id] < 0) return HUGE_VAL;
    ++counts[group_of[id]];
  }
  double chi_square = 0.0, freedom = -1.0;
  for (int group = 0; group < kGroups; ++group) {
    if (expected[group] == 0.0) continue;
    chi_square += (counts[group] - expected[group]) * (counts[group] - expected[group]) / expected[group];
    ++freedom;
  }
  return (chi_square - freedom) / std::sqrt(2.0 * freedom);
}

TEST_P(SamplingTest, TokensComeAsOftenAsTheyAreLikely) {
  for (const int64_t ids : {49'152, 152'064}) {
    SampleSpec spec;
    spec.seed = 11;
    spec.params.temperature = 0.9f;
    EXPECT_LT(std::abs(Unlikelihood(*scans_, ids, spec, 3000)), 4.0) << ids;
    spec.params.top_p = 0.95f;
    spec.params.top_k = 200;
    EXPECT_LT(std::abs(Unlikelihood(*scans_, ids, spec, 5000)), 4.0) << ids;
    spec.params.top_k = 0;
    spec.params.top_p = 0.3f;
    EXPECT_LT(std::abs(Unlikelihood(*scans_, ids, spec, 2000)), 4.0) << ids;
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, SamplingTest, testing::Values("avx2", "avx512"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace quire::kernels::cpu
