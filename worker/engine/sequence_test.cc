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
  BatchPlan plan;
  sequence.OpenSlot(0, plan);
  sequence.Plan(4, plan);
  ASSERT_EQ(plan.samples.size(), 1u);
  EXPECT_EQ(plan.openings[0].params.masked_ids, request.stop_ids);
  EXPECT_TRUE(plan.samples[0].masked);
  sequence.Advance(4, cache);
  sequence.Append(50);
  sequence.Plan(1, plan);
  EXPECT_FALSE(plan.samples[1].masked);
  EXPECT_EQ(plan.samples[1].position, 1u);
}

TEST(Sequence, PlansSayWhatIsNew) {
  PrefixCache cache(4);
  Sequence sequence(1, Share(NewRequest(30, 10)), 100);
  ASSERT_TRUE(sequence.AcquireBlocks(cache, 0));
  BatchPlan first, second, third;
  sequence.OpenSlot(7, first);
  sequence.Plan(5, first);
  EXPECT_EQ(first.sequences[0].slot, 7);
  EXPECT_EQ(first.sequences[0].blocks, 1) << "of two that it has";
  EXPECT_EQ(first.ids, (std::vector<TokenId>{100, 101, 102, 103, 104}));
  EXPECT_TRUE(first.wanted.empty());
  sequence.Advance(5, cache);
  sequence.Plan(25, second);
  EXPECT_EQ(second.sequences[0].position, 5);
  EXPECT_EQ(second.blocks.size(), 1u);
  ASSERT_EQ(second.wanted.size(), 1u);
  EXPECT_EQ(second.wanted[0].row, 24);
  sequence.Advance(25, cache);
  sequence.Append(50);
  sequence.Plan(1, third);
  EXPECT_EQ(third.ids, (std::vector<TokenId>{50}));
  EXPECT_TRUE(third.blocks.empty() && third.ops.empty());
}

// The tokens that were computed by others are told with the slot, and none is told twice.
TEST(Sequence, ASlotBeginsWithWhatIsCached) {
  PrefixCache cache(8);
  Sequence first(1, Share(NewRequest(40, 10)), 100), second(2, Share(NewRequest(40, 10)), 100);
  ASSERT_TRUE(first.AcquireBlocks(cache, 0));
  first.Advance(40, cache);
  ASSERT_TRUE(second.AcquireBlocks(cache, 0));
  BatchPlan plan;
  second.OpenSlot(0, plan);
  second.Plan(8, plan);
  EXPECT_EQ(std::get<OpenSlot>(plan.ops[0]).blocks, 2);
  EXPECT_EQ(plan.sequences[0].position, 32);
  EXPECT_EQ(plan.blocks.size(), 3u);
}

TEST(Sequence, PenaltiesGetItsTokensOnceEachHoweverOftenItStarts) {
  GenerationRequest request = NewRequest(4, 10);
  request.sampling.frequency_penalty = 0.5f;
  request.choices[0].resumed_ids = {7, 100};
  PrefixCache cache(4);
  Sequence sequence(1, Share(request), 100);
  using Found = std::map<TokenId, std::pair<int, bool>>;
  const auto start = [&] {
    EXPECT_TRUE(sequence.AcquireBlocks(cache, 0));
    BatchPlan plan;
    sequence.OpenSlot(0, plan);
    sequence.ReleaseBlocks();
    EXPECT_FALSE(sequence.slot());
    EXPECT_EQ(plan.openings[0].tokens, sequence.size());
    Found found;
    for (const auto& [id, count] : plan.openings[0].counts.counts())
      found[id] = {count.output, count.in_prompt};
    return found;
  };
  const Found resumed = {
      {7, {1, false}}, {100, {1, true}}, {101, {0, true}}, {102, {0, true}}, {103, {0, true}}};
  EXPECT_EQ(start(), resumed);
  EXPECT_EQ(start(), resumed) << "preempted";
  sequence.Append(7);
  sequence.Append(103);
  Found grown = resumed;
  grown[7].first = 2;
  grown[103].first = 1;
  EXPECT_EQ(start(), grown);
}

TEST(Sequence, TokensAreNotCountedWhereNothingPenalizesThem) {
  PrefixCache cache(4);
  Sequence sequence(1, Share(NewRequest(4, 10)), 100);
  ASSERT_TRUE(sequence.AcquireBlocks(cache, 0));
  BatchPlan plan;
  sequence.OpenSlot(0, plan);
  EXPECT_TRUE(plan.openings[0].counts.counts().empty());
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

// Of a request that failed, also where it waits and has none.
TEST(Sequence, ItsBlocksAreForgottenByTheirNames) {
  PrefixCache cache(4);
  Sequence sequence(1, Share(NewRequest(40, 10)), 100);
  ASSERT_TRUE(sequence.AcquireBlocks(cache, 0));
  sequence.Advance(40, cache);
  sequence.ReleaseBlocks();
  ASSERT_TRUE(cache.Knows(sequence.HashOf(0)) && cache.Knows(sequence.HashOf(1)));
  sequence.ForgetBlocks(cache);
  EXPECT_FALSE(cache.Knows(sequence.HashOf(0)) || cache.Knows(sequence.HashOf(1)));
}

// Who was refused is looked at again where there is more room for it, whatever the reason.
TEST(Sequence, WhoDidNotFitDoesOnceThereIsRoom) {
  PrefixCache cache(4);
  Sequence first(1, Share(NewRequest(40, 10)), 100), second(2, Share(NewRequest(40, 10)), 100);
  ASSERT_TRUE(first.AcquireBlocks(cache, 0));
  EXPECT_FALSE(second.AcquireBlocks(cache, 0));
  EXPECT_FALSE(second.AcquireBlocks(cache, 0));
  first.Advance(32, cache);  // two of its three blocks are there to be shared now
  EXPECT_FALSE(second.AcquireBlocks(cache, 1));
  EXPECT_FALSE(second.AcquireBlocks(cache, 1));
  EXPECT_TRUE(second.AcquireBlocks(cache, 0)) << "less is to be spared";
  EXPECT_EQ(second.computed(), 32);
  second.ReleaseBlocks();

  Sequence other(3, Share(NewRequest(20, 10)), 100), large(4, Share(NewRequest(60, 10)), 100);
  ASSERT_TRUE(other.AcquireBlocks(cache, 0));
  EXPECT_FALSE(large.AcquireBlocks(cache, 0));
  other.ReleaseBlocks();
  first.ReleaseBlocks();
  EXPECT_TRUE(large.AcquireBlocks(cache, 0)) << "others have gone";
}

// A walk over what is known of it would take those blocks for used just now.
TEST(Sequence, WhoWaitsForRoomIsNotLookedAtInEveryStep) {
  PrefixCache cache(6);
  GenerationRequest other_tenant = NewRequest(40, 10);
  other_tenant.cache_salt = "another";
  Sequence first(1, Share(NewRequest(40, 10)), 100), other(2, Share(other_tenant), 100);
  for (Sequence* sequence : {&first, &other}) {
    ASSERT_TRUE(sequence->AcquireBlocks(cache, 0));
    sequence->Advance(40, cache);  // names two blocks of its three
    sequence->ReleaseBlocks();
  }
  Sequence waiting(3, Share(NewRequest(200, 10)),
                   300);  // the first one's tokens, and more than there is room for
  EXPECT_FALSE(waiting.AcquireBlocks(cache, 0));
  ASSERT_TRUE(other.AcquireBlocks(cache, 0));
  other.ReleaseBlocks();
  EXPECT_FALSE(waiting.AcquireBlocks(cache, 0));
  std::vector<BlockRef> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(cache.Allocate());
  EXPECT_FALSE(cache.Knows(first.HashOf(1))) << "used longest ago";
  EXPECT_TRUE(cache.Knows(other.HashOf(1)));
}

TEST(Sequence, TenantsRopeVariantsAndAdaptersShareNoBlocks) {
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
  request.adapter = 1;
  EXPECT_EQ(cached(request), 0);
  request.adapter = 0;
  request.cache_salt = "tenant b";
  EXPECT_EQ(cached(request), 0);
}

}  // namespace
}  // namespace quire::worker
