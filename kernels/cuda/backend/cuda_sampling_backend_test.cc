// Backend::Sample of the CUDA backend, on fibers: beside kernels/sampling's Sampler, bit by bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/sampling/sample_rows.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class CudaSamplingBackendTest : public testing::Test {
 protected:
  // Rows of `ids` that may be sampled, and of some padding that is no number.
  void Reserve(int64_t rows, int64_t ids) {
    ids_ = ids;
    backend_ = MakeCudaBackend(std::make_unique<Stream>(static_cast<uint64_t>(ids), kDevice),
                               std::make_unique<SkinnyGemms>(kDevice), "fibers");
    ASSERT_TRUE(backend_->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok());
    logits_ = NewF32(*backend_, rows, ids + 21, std::vector<float>(rows * (ids + 21), kNan));
  }
  void Put(int64_t row, std::span<const float> values) { std::ranges::copy(values, logits_.f32(row)); }

  // Samples a row by each of the specs.
  void Sample(std::span<const SampleSpec> specs) {
    pointers_.clear();
    for (const SampleSpec& spec : specs) pointers_.push_back(&spec);
    backend_->Sample(logits_.Rows(std::ssize(specs)), pointers_, {});
  }
  // Reads the oldest step, which was of these specs, into tokens_.
  void ExpectTheSamplersOf(std::span<const SampleSpec> specs) {
    const auto tokens = backend_->ReadSampled();
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    ASSERT_EQ(tokens->size(), specs.size());
    tokens_.assign(tokens->begin(), tokens->end());
    Sampler sampler(ids_);
    for (size_t i = 0; i < specs.size(); ++i) {
      EXPECT_EQ(DifferenceOf(tokens_[i], sampler.Sample(logits_.Row(static_cast<int64_t>(i)), specs[i])), "")
          << ids_ << " ids, row " << i;
    }
  }
  void ExpectTheSamplers(std::span<const SampleSpec> specs) {
    Sample(specs);
    ExpectTheSamplersOf(specs);
  }

  static constexpr DeviceSize kDevice{2, kSharedBytesSm80};
  std::unique_ptr<Backend> backend_;
  int64_t ids_ = 0;
  Tensor logits_;
  std::vector<const SampleSpec*> pointers_;
  std::vector<SampledToken> tokens_;  // read last
};

TEST_F(CudaSamplingBackendTest, UglyRowsByAnyParameters) {
  constexpr int64_t kRows = 20;
  for (const int64_t ids : {1, 63, 64, 300, 2500}) {
    Reserve(kRows, ids);
    const auto rows = UglyRows(ids, 1);
    for (int64_t i = 0; i < kRows; ++i) Put(i, rows[i % std::ssize(rows)]);
    const auto before = Values(logits_);
    ExpectTheSamplers(AssortedSpecs(ids, kRows, static_cast<uint32_t>(ids)));
    const auto after = Values(logits_);  // what is adjusted is a copy
    EXPECT_EQ(std::memcmp(before.data(), after.data(), before.size() * sizeof(float)), 0);
  }
}

TEST_F(CudaSamplingBackendTest, ARealVocabularyAndThePaddingBehindIt) {
  Reserve(3, 151'665);
  const auto rows = UglyRows(ids_, 2);
  for (const int64_t i : {0, 1, 2}) Put(i, rows[std::array{0, 3, 8}[i]]);
  std::vector<SampleSpec> specs(3);
  specs[0].params = {.temperature = 0.6f, .top_k = 40, .top_p = 0.95f, .top_logprobs = 20};
  specs[1].params = {.temperature = 0, .logit_bias = {{151'664, 9.0f}}, .top_logprobs = 20};
  specs[2].params = {.top_p = 0.9f, .masked_ids = {0, 151'664}, .logprobs = true};
  ExpectTheSamplers(specs);
}

TEST_F(CudaSamplingBackendTest, TopLogprobsGoToTheLowestIdsOfTies) {
  for (const auto& [ids, rows] : {std::pair<int64_t, int64_t>{130, 20}, {1, 2}, {19, 4}, {1500, 4}}) {
    Reserve(rows, ids);
    std::mt19937 random(7);
    std::vector<SampleSpec> specs(rows);
    for (int64_t i = 0; i < rows; ++i) {
      std::vector<float> row(ids);
      // All equal, zeros of both signs, two kinds, and some kinds.
      for (float& value : row) {
        value = static_cast<float>(random() % static_cast<uint64_t>(1 + i % 4)) * (i % 3 == 0 ? -1.0f : 1.0f);
        if (value == 0 && random() % 2 == 0) value = -value;
      }
      Put(i, row);
      specs[i].params = {.temperature = i % 2 == 0 ? 0.0f : 1.0f,
                         .top_logprobs = static_cast<int32_t>(rows == 20 ? i + 1 : 20 - i)};
    }
    ExpectTheSamplers(specs);
  }
}

TEST_F(CudaSamplingBackendTest, ARowThatIsNotFiniteFailsAlone) {
  Reserve(20, 130);
  const std::vector<SampleSpec> assorted = AssortedSpecs(ids_, 20, 3);
  std::vector<SampleSpec> specs;
  const auto rows = UglyRows(ids_, 3);
  for (int64_t i = 0; i < 20; ++i) {
    Put(i, rows[i % 4]);
    specs.push_back(assorted[i]);
    specs.back().params.top_logprobs = 2;
    if (i % 2 == 0) continue;
    const std::array bad = {kNan, HUGE_VALF, -HUGE_VALF};
    const std::array at = {int64_t{0}, int64_t{64}, ids_ - 1};
    logits_.f32(i)[at[i / 3 % 3]] = bad[i % 3];
  }
  ExpectTheSamplers(specs);
  EXPECT_TRUE(tokens_[1].failed);
  EXPECT_FALSE(tokens_[2].failed);
}

TEST_F(CudaSamplingBackendTest, ARowWithNothingLeftFailsWithTheLogprobsOfTheRest) {
  Reserve(6, 200);
  std::vector<SampleSpec> specs(6);
  const std::vector<uint32_t> none(7), last = {0, 0, 0, 0, 0, 0, 1u << 7, ~0u}, short_words = {8};
  std::vector<TokenId> all(200);
  std::iota(all.begin(), all.end(), 0);
  specs[0].params = {.masked_ids = all, .top_logprobs = 3};
  specs[1].allowed = none;
  specs[2].allowed = last;  // id 199; the bits behind it are nobody's
  specs[2].params.temperature = 0;
  specs[3].allowed = short_words;  // id 3
  specs[3].params.logprobs = true;
  specs[4].allowed = short_words;
  specs[4].params = {.masked_ids = {3}};
  specs[5].params = {.temperature = 0, .logit_bias = {{7, HUGE_VALF}}};  // overflows
  for (int64_t i = 0; i < 6; ++i) Put(i, RandomFloats(200, static_cast<uint32_t>(i)));
  ExpectTheSamplers(specs);
  EXPECT_TRUE(tokens_[0].failed);
  EXPECT_EQ(tokens_[0].top_logprobs.size(), 3);
  EXPECT_EQ(tokens_[2].id, 199);
  EXPECT_EQ(tokens_[3].id, 3);
  for (const int i : {1, 4, 5}) EXPECT_TRUE(tokens_[i].failed) << i;
}

// Each row has an id that is the best in another order only.
TEST_F(CudaSamplingBackendTest, AnIdsAdjustmentsComeInTheirOrder) {
  Reserve(3, 100);
  TokenCounts counts;
  for (int i = 0; i < 5; ++i) counts.AddOutput(7);
  counts.AddPrompt(std::vector<TokenId>{8, 9});
  std::vector<SampleSpec> specs(3);
  for (int64_t i = 0; i < 3; ++i) {
    std::vector<float> row(100, -1.0f);
    row[7] = row[8] = row[9] = 0.1f;
    if (i == 2) row[10] = 1.5f;
    Put(i, row);
    SamplingParams& params = specs[i].params;
    params = {.temperature = 0, .repetition_penalty = 1.7f, .presence_penalty = 0.01f};
    params.frequency_penalty = 0.3f;
    // What is added up: 0.7, or 0 in the other direction.
    params.logit_bias = {{9, 1e8f}, {8, 0.3f}, {9, -1e8f}, {9, 0.7f}};
    if (i == 1) params.masked_ids = {9, 9};
    if (i == 2) params.logit_bias.emplace_back(7, 4.0f);  // which the penalties make 0.9
    specs[i].counts = &counts;
  }
  for (int order = 0; order < 10; ++order) ExpectTheSamplers(specs);  // of lanes: another one each time
  EXPECT_EQ(tokens_[0].id, 9);
  EXPECT_EQ(tokens_[1].id, 8);
  EXPECT_EQ(tokens_[2].id, 10);
}

// Rows of one sequence share its counts, of which each has its own part.
TEST_F(CudaSamplingBackendTest, SeveralRowsOfASequence) {
  Reserve(4, 90);
  const std::vector<TokenId> guessed = {11, 12, 11};
  TokenCounts counts;
  counts.AddPrompt(std::vector<TokenId>{10});
  for (const TokenId id : guessed) counts.AddOutput(id);
  std::vector<SampleSpec> specs(4);
  for (int64_t i = 0; i < 4; ++i) {
    std::vector<float> row(90, 0.0f);
    row[10] = 4.1f;
    row[11] = 4.0f;
    row[12] = 3.0f;
    Put(i, row);
    specs[i].params = {.temperature = 0, .repetition_penalty = 1.2f, .presence_penalty = 1.0f};
    specs[i].counts = &counts;
    specs[i].uncounted = std::span(guessed).subspan(static_cast<size_t>(i));
    specs[i].position = static_cast<uint32_t>(i);
  }
  ExpectTheSamplers(specs);
  EXPECT_EQ(tokens_[0].id, 11);  // none of it was made yet
  EXPECT_EQ(tokens_[1].id, 10);
}

// What stands in pinned memory is left alone until its copy has been waited for: the fibers would say it.
TEST_F(CudaSamplingBackendTest, TwoSamplesInFlightAreReadInTheirOrder) {
  Reserve(2, 70);
  Put(0, RandomFloats(70, 1));
  Put(1, RandomFloats(70, 2));
  std::vector<std::vector<SampleSpec>> steps(5, std::vector<SampleSpec>(2));
  const std::vector<uint32_t> some = {0xf0f0f0f0u, 0x0ff00ff0u};
  for (size_t i = 0; i < steps.size(); ++i) {
    for (SampleSpec& spec : steps[i]) spec.position = static_cast<uint32_t>(i);
    steps[i][1].params.logit_bias = {{static_cast<TokenId>(i), i % 2 == 0 ? 3.0f : -1.0f}, {60, 2.0f}};
    steps[i][0].params.top_logprobs = static_cast<int32_t>(i);
    if (i % 2 == 1) steps[i][0].allowed = some;
  }
  steps[3].clear();
  steps[2].resize(1);
  Sample(steps[0]);
  for (size_t i = 1; i < steps.size(); ++i) {
    Sample(steps[i]);
    ExpectTheSamplersOf(steps[i - 1]);
  }
  ExpectTheSamplersOf(steps.back());
}

TEST_F(CudaSamplingBackendTest, MoreIdsThanTheKernelTellsApartAreRefused) {
  Reserve(1, 10);
  EXPECT_EQ(backend_->ReserveStep({.wanted_rows = 1, .sampled_ids = SampleRows::kMostIds + 1}).code(),
            absl::StatusCode::kInvalidArgument);
}

using CudaSamplingBackendDeathTest = CudaSamplingBackendTest;
TEST_F(CudaSamplingBackendDeathTest, ASampleAgainstItsContractStopsTheProcess) {
  Reserve(2, 70);
  const SampleSpec spec;
  const std::vector<const SampleSpec*> one = {&spec};
  const std::vector<int32_t> run = {0};
  const std::vector<RowRuns> runs = {run}, whole = {{}};
  Put(0, RandomFloats(70, 1));
  backend_->Sample(logits_.Rows(1), one, whole);
  EXPECT_FALSE(backend_->ReadSampled().value()[0].failed);
  EXPECT_DEATH((void)backend_->ReadSampled(), "no step is in flight");
  EXPECT_DEATH(backend_->Sample(logits_.Rows(1), one, runs), "samples from whole rows");
  EXPECT_DEATH(backend_->Sample(logits_.Rows(2), one, {}), "not a spec for each");
  EXPECT_DEATH(backend_->Sample(logits_.Rows(1).Columns(69), one, {}), "shorter than the ids");
  for (int step = 0; step < 2; ++step) backend_->Sample(logits_.Rows(1), one, {});
  EXPECT_DEATH(backend_->Sample(logits_.Rows(1), one, {}), "two steps are in flight already");
}

}  // namespace
}  // namespace quire::kernels::cuda
