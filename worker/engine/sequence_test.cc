#include "worker/engine/sequence.h"

#include <gtest/gtest.h>

#include <map>

namespace quire::worker {
namespace {

GenerationRequest NewRequest(int64_t prompt, int64_t max_tokens) {
  GenerationRequest request;
  for (int64_t i = 0; i < prompt; ++i) request.prompt_ids.push_back(static_cast<TokenId>(100 + i));
  request.max_tokens = max_tokens;
  request.stop_ids = {2, 3};
  return request;
}

TEST(Sequence, StopIdEndsItAndIsItsLastToken) {
  Sequence sequence(1, Share(NewRequest(4, 10)), 100);
  sequence.Append(7);
  EXPECT_FALSE(sequence.finished());
  sequence.Append(3);
  EXPECT_EQ(sequence.finished(), FinishCause::kStop);
  EXPECT_EQ(sequence.output(), (std::vector<TokenId>{7, 3}));
}

TEST(Sequence, IgnoreEosGoesOnToMaxTokens) {
  GenerationRequest request = NewRequest(4, 3);
  request.ignore_eos = true;
  Sequence sequence(1, Share(request), 100);
  sequence.Append(3);
  sequence.Append(2);
  EXPECT_FALSE(sequence.finished());
  sequence.Append(9);
  EXPECT_EQ(sequence.finished(), FinishCause::kLength);
}

TEST(Sequence, ContextEndsItBeforeMaxTokens) {
  Sequence sequence(1, Share(NewRequest(4, 10)), 6);
  sequence.Append(7);
  EXPECT_FALSE(sequence.finished());
  sequence.Append(7);
  EXPECT_EQ(sequence.finished(), FinishCause::kLength);
}

TEST(Sequence, StopOnTheLastTokenIsAStop) {
  Sequence sequence(1, Share(NewRequest(4, 1)), 100);
  sequence.Append(2);
  EXPECT_EQ(sequence.finished(), FinishCause::kStop);
}

TEST(Sequence, ResumedIdsCount) {
  GenerationRequest request = NewRequest(4, 3);
  request.choices[0].resumed_ids = {7, 8};
  Sequence resumed(1, Share(request), 100);
  EXPECT_EQ(resumed.size(), 6);
  EXPECT_FALSE(resumed.finished());
  request.choices[0].resumed_ids = {7, 8, 9};
  EXPECT_EQ(Sequence(2, Share(request), 100).finished(), FinishCause::kLength);
  request.choices[0].resumed_ids = {7, 2};
  EXPECT_EQ(Sequence(3, Share(request), 100).finished(), FinishCause::kStop);
}

TEST(Sequence, StopIdsAreMaskedBelowMinTokens) {
  GenerationRequest request = NewRequest(4, 10);
  request.min_tokens = 1;
  PrefixCache cache(4);
  Sequence sequence(1, Share(request), 100);
  ASSERT_TRUE(sequence.AcquireBlocks(cache, 0));
  SequencePlan plan = sequence.Plan(4);
  ASSERT_TRUE(plan.wants_logits);
  EXPECT_EQ(plan.sample->params.masked_ids, request.stop_ids);
  sequence.Advance(4, cache);
  sequence.Append(50);
  plan = sequence.Plan(1);
  EXPECT_TRUE(plan.sample->params.masked_ids.empty());
  EXPECT_EQ(plan.sample->position, 1u);
}

TEST(Sequence, PenaltiesCountItsTokensOnceEachHoweverOftenItStarts) {
  GenerationRequest request = NewRequest(4, 10);
  request.sampling.frequency_penalty = 0.5f;
  request.choices[0].resumed_ids = {7, 100};
  PrefixCache cache(4);
  Sequence sequence(1, Share(request), 100);
  const auto counts = [&] {
    EXPECT_TRUE(sequence.AcquireBlocks(cache, 0));
    const SequencePlan plan = sequence.Plan(sequence.remaining());
    std::map<TokenId, std::pair<int, bool>> found;
    for (const auto& [id, count] : plan.sample->counts->counts()) found[id] = {count.output, count.in_prompt};
    sequence.ReleaseBlocks();
    return found;
  };
  using Found = std::map<TokenId, std::pair<int, bool>>;
  const Found resumed = {
      {7, {1, false}}, {100, {1, true}}, {101, {0, true}}, {102, {0, true}}, {103, {0, true}}};
  EXPECT_EQ(counts(), resumed);
  EXPECT_EQ(counts(), resumed) << "preempted";
  sequence.Append(7);
  sequence.Append(103);
  Found grown = resumed;
  grown[7].first = 2;
  grown[103].first = 1;
  EXPECT_EQ(counts(), grown);
}

TEST(Sequence, TokensAreNotCountedWhereNothingPenalizesThem) {
  PrefixCache cache(4);
  Sequence sequence(1, Share(NewRequest(4, 10)), 100);
  ASSERT_TRUE(sequence.AcquireBlocks(cache, 0));
  EXPECT_EQ(sequence.Plan(4).sample->counts, nullptr);
}

TEST(Sequence, LastTokenIsComputedEvenWhenAllIsCached) {
  PrefixCache cache(8);
  Sequence first(1, Share(NewRequest(32, 10)), 100);
  ASSERT_TRUE(first.AcquireBlocks(cache, 0));
  first.Advance(32, cache);
  Sequence second(2, Share(NewRequest(32, 10)), 100);
  ASSERT_TRUE(second.AcquireBlocks(cache, 0));
  EXPECT_EQ(second.computed(), 16);
  EXPECT_EQ(cache.idle(), 8 - 3);  // one block is shared
}

TEST(Sequence, TakesNothingWhereItDoesNotFit) {
  PrefixCache cache(3);
  Sequence first(1, Share(NewRequest(32, 10)), 100);
  ASSERT_TRUE(first.AcquireBlocks(cache, 0));
  Sequence second(2, Share(NewRequest(40, 10)), 100);
  EXPECT_FALSE(second.AcquireBlocks(cache, 0));
  EXPECT_EQ(cache.idle(), 1);
}

TEST(Sequence, TenantsAndRopeVariantsShareNoBlocks) {
  PrefixCache cache(16);
  GenerationRequest request = NewRequest(32, 10);
  request.cache_salt = "tenant a";
  Sequence first(1, Share(request), 100);
  ASSERT_TRUE(first.AcquireBlocks(cache, 0));
  first.Advance(32, cache);
  const auto cached = [&cache](const GenerationRequest& another) {
    Sequence sequence(2, Share(another), 100);
    EXPECT_TRUE(sequence.AcquireBlocks(cache, 0));
    return sequence.computed();
  };
  EXPECT_EQ(cached(request), 16);
  request.scaled_rope = true;
  EXPECT_EQ(cached(request), 0);
  request.scaled_rope = false;
  request.cache_salt = "tenant b";
  EXPECT_EQ(cached(request), 0);
}

}  // namespace
}  // namespace quire::worker
