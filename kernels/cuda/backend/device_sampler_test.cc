// What DeviceSampler does with its memory: portions of entries, what it reserves, where ids stay. That it
// chooses right is cuda_sampling_backend_test's.
#include "kernels/cuda/backend/device_sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>

#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"

namespace quire::kernels::cuda {
namespace {

// A spec with so many biases, masks and penalties, of any of the ids, biases of some of them several times.
struct Entries {
  int64_t biases = 0, masks = 0, penalties = 0;
};
struct Spec {
  SampleSpec spec;
  TokenCounts counts;

  Spec(const Entries& entries, int64_t ids, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto any_id = [&] { return static_cast<TokenId>(random() % static_cast<uint64_t>(ids)); };
    SamplingParams& params = spec.params;
    params = {.temperature = 0.8f, .top_p = 0.9f, .repetition_penalty = 1.3f, .frequency_penalty = 0.25f};
    params.top_logprobs = 3;
    for (int64_t i = 0; i < entries.biases; ++i) params.logit_bias.emplace_back(any_id(), normal(random));
    for (int64_t i = 0; i < entries.masks; ++i) params.masked_ids.push_back(any_id());
    for (TokenId id = 0; id < entries.penalties; ++id) counts.AddOutput(id);
    spec.seed = seed;
    spec.counts = &counts;
  }
  Spec(const Spec&) = delete;
  Spec& operator=(const Spec&) = delete;
};

class DeviceSamplerTest : public testing::Test {
 protected:
  // A row by each of these.
  void Expect(int64_t ids, std::span<const Entries> entries) {
    const auto rows = std::ssize(entries);
    std::vector<std::unique_ptr<Spec>> specs;
    std::vector<const SampleSpec*> pointers;
    std::vector<float> logits;
    const auto ugly = UglyRows(ids, 3);
    for (int64_t i = 0; i < rows; ++i) {
      specs.push_back(std::make_unique<Spec>(entries[i], ids, static_cast<uint32_t>(i)));
      pointers.push_back(&specs.back()->spec);
      const std::vector<float>& row = ugly[std::array{0, 3, 6}[i % 3]];
      logits.insert(logits.end(), row.begin(), row.end());
    }
    sampler_.Reserve(stream_, rows, ids);
    sampler_.Enqueue(stream_, 0, logits.data(), ids, pointers);
    ASSERT_EQ(stream_.Synchronize(), "");
    const auto tokens = sampler_.TakeTokens(0);
    Sampler host(ids);
    for (int64_t i = 0; i < rows; ++i) {
      const std::span<const float> row(&logits[i * ids], static_cast<size_t>(ids));
      EXPECT_EQ(DifferenceOf(tokens[i], host.Sample(row, *pointers[i])), "") << i;
      EXPECT_EQ(sampler_.ids()[i], tokens[i].id) << "on the device";
    }
  }

  Stream stream_;
  DeviceSampler sampler_;
};

// There is room for 640 entries of two rows of 300 ids: each kind is cut somewhere, and some don't fit by
// one.
TEST_F(DeviceSamplerTest, MoreEntriesThanThereIsRoomForGoInPortions) {
  constexpr int64_t kIds = 300;
  for (const std::vector<Entries>& entries : std::vector<std::vector<Entries>>{
           {{100, 240, 300}, {}},
           {{100, 240, 299}, {1, 0, 0}},
           {{100, 240, 300}, {1, 0, 0}},
           {{1000, 0, 0}, {0, 1000, 300}},
           {{640, 0, 0}, {640, 0, 300}},
           {{300, 300, 300}, {300, 300, 300}},
           {{0, 0, 300}, {2000, 10, 300}},
       }) {
    Expect(kIds, entries);
  }
}

TEST_F(DeviceSamplerTest, PenaltiesOfAWholeVocabularyTwice) {
  Expect(151'643, std::vector<Entries>{{3, 2, 151'643}, {0, 4, 151'643}});
}

TEST_F(DeviceSamplerTest, TakesTheMemoryThatItSays) {
  for (const int64_t ids : {1, 300, 4160}) {
    for (const int64_t rows : {1, 7}) {
      sampler_.Reserve(stream_, rows, ids);
      const int64_t runs = (ids + 63) / 64;
      const int64_t entries = std::min(DeviceSampler::kMostEntries, rows * runs * 64) * 8;
      EXPECT_LE(entries, DeviceSampler::kFixedBytes);
      EXPECT_LE(2 * entries, DeviceSampler::kPinnedFixedBytes);
      EXPECT_EQ(sampler_.device_bytes(),
                entries + rows * (DeviceSampler::kRowBytes + runs * DeviceSampler::kRunBytes));
      EXPECT_EQ(sampler_.pinned_bytes(), 2 * entries + rows * (DeviceSampler::kPinnedRowBytes +
                                                               runs * DeviceSampler::kPinnedRunBytes));
    }
  }
}

// Of all that Enqueue does, nothing waits where there is room.
TEST_F(DeviceSamplerTest, ResultsComeWhenTheStreamIsWaitedFor) {
  const std::vector<float> third = {0, 1, 9, 2}, last = {0, 1, 2, 9};
  const SampleSpec greedy{.params = {.temperature = 0, .logit_bias = {{1, 1.0f}}}};
  const std::vector<const SampleSpec*> specs = {&greedy};
  sampler_.Reserve(stream_, 1, 4);
  sampler_.Enqueue(stream_, 0, third.data(), 4, specs);
  EXPECT_EQ(stream_.Synchronize(), "");
  sampler_.Enqueue(stream_, 1, last.data(), 4, specs);
  EXPECT_TRUE(sampler_.TakeTokens(1)[0].failed) << "not there yet";
  EXPECT_EQ(sampler_.TakeTokens(0)[0].id, 2) << "of the step before";
  EXPECT_EQ(stream_.Synchronize(), "");
  EXPECT_EQ(sampler_.TakeTokens(1)[0].id, 3);
}

}  // namespace
}  // namespace quire::kernels::cuda
