#include "kernels/sampling/candidates.h"

#include <gtest/gtest.h>

#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/candidate_cases.h"

namespace quire::kernels {
namespace {

TEST(CandidatesTest, TheyGiveTheWholeRowsToken) {
  for (const int64_t ids : {1, 2, 63, 64, 65, 127, 300, 512, 1000, 1027}) {
    ExpectCandidatesSuffice(PortableScans(), ids, 150, static_cast<uint32_t>(ids));
  }
}

TEST(CandidatesTest, OfLargeVocabulariesToo) {
  ExpectCandidatesSuffice(PortableScans(), 20'011, 30, 1);
  ExpectCandidatesSuffice(PortableScans(), 49'152, 6, 2);
}

TEST(CandidatesTest, WhatLooksAtMoreThanTheBestNeedsTheWholeRow) {
  const auto need = [](auto edit) {
    SampleSpec spec;
    spec.params = {.temperature = 0.6f, .top_k = 20, .top_p = 0.95f};
    edit(spec);
    return NeedOf(spec);
  };
  EXPECT_EQ(need([](SampleSpec&) {}), (RowNeed{20, 0.6f}));
  EXPECT_EQ(need([](SampleSpec& spec) { spec.params.min_p = 0.1f; }), (RowNeed{20, 0.6f}));
  EXPECT_EQ(need([](SampleSpec& spec) { spec.params.temperature = 0.0f; }), (RowNeed{1, 0.0f}));
  TokenCounts counts;
  EXPECT_EQ(need([&](SampleSpec& spec) { spec.counts = &counts; }), (RowNeed{20, 0.6f}));
  const std::vector<uint32_t> allowed = {~0u};
  EXPECT_TRUE(need([](SampleSpec& spec) { spec.params.top_k = 0; }).whole());
  EXPECT_TRUE(need([](SampleSpec& spec) { spec.params.logprobs = true; }).whole());
  EXPECT_TRUE(need([](SampleSpec& spec) { spec.params.top_logprobs = 1; }).whole());
  EXPECT_TRUE(need([](SampleSpec& spec) { spec.params.logit_bias = {{1, 1.0f}}; }).whole());
  EXPECT_TRUE(need([](SampleSpec& spec) { spec.params.masked_ids = {1}; }).whole());
  EXPECT_TRUE(need([&](SampleSpec& spec) { spec.allowed = allowed; }).whole());
  EXPECT_TRUE(need([&](SampleSpec& spec) {
                spec.params.presence_penalty = 1.0f;
                spec.counts = &counts;
              }).whole());
}

TEST(CandidatesTest, ANeedIsAWord) {
  for (const RowNeed& need : {RowNeed{}, RowNeed{1, 0.0f}, RowNeed{1 << 30, 1.7f}, RowNeed{-1, -0.5f}}) {
    EXPECT_EQ(RowNeed::OfWord(need.Word()), need);
  }
  EXPECT_TRUE(RowNeed::OfWord(0).whole());
}

TEST(CandidatesTest, FewRunsAreKept) {
  std::vector<float> row(100 * kRunIds - 10);
  for (size_t id = 0; id < row.size(); ++id) row[id] = static_cast<float>(id * 37 % 6007);
  const int64_t begins[] = {0, 50 * kRunIds};
  const auto ids = [&](const RowNeed& need) {
    return std::ssize(GatherCandidates(PortableScans(), row, need, begins).logits);
  };
  EXPECT_LE(ids({1, 0.0f}), 2 * kRunIds);
  EXPECT_LE(ids({5, 1.0f}), 10 * kRunIds);
  EXPECT_EQ(ids({5, 1e9f}), std::ssize(row)) << "all weigh about the same";
  EXPECT_EQ(ids({50, 1.0f}), std::ssize(row));
  EXPECT_EQ(ids({}), std::ssize(row));
}

TEST(CandidatesTest, BitsBehindTheLastRunCountForNothing) {
  const std::vector<uint32_t> kept = {~0u};
  EXPECT_EQ(KeptIds(kept, 130), 130);
  EXPECT_EQ(KeptIds(kept, 0), 0);
  std::vector<int32_t> runs;
  AppendRuns(kept, 130, 7, runs);
  EXPECT_EQ(runs, (std::vector<int32_t>{7, 8, 9}));
  EXPECT_EQ(RunWords(0), 0);
  EXPECT_EQ(RunWords(32 * kRunIds), 1);
  EXPECT_EQ(RunWords(32 * kRunIds + 1), 2);
}

}  // namespace
}  // namespace quire::kernels
