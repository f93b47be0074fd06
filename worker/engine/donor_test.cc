// Who waits for a running prompt to compute what it lacks, who doesn't, and that nobody starves by it.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "worker/engine/scheduler.h"

namespace quire::worker {
namespace {

// `common` tokens that all prompts begin with, and `own` ones that no other has.
GenerationRequest Forked(int64_t common, int64_t own, TokenId first_own, int64_t max_tokens = 100) {
  GenerationRequest request;
  for (int64_t i = 0; i < common; ++i) request.prompt_ids.push_back(static_cast<TokenId>(i));
  for (int64_t i = 0; i < own; ++i) request.prompt_ids.push_back(first_own + static_cast<TokenId>(i));
  request.max_tokens = max_tokens;
  return request;
}

class DonorTest : public testing::Test {
 protected:
  void Limit(const SchedulerLimits& limits, int32_t blocks) {
    sequences_.clear();  // before the cache that they refer to
    cache_ = std::make_unique<PrefixCache>(blocks);
    scheduler_ = std::make_unique<Scheduler>(limits, cache_.get());
  }
  void SetUp() override { Limit({.max_batch_tokens = 64, .prefill_chunk = 32, .max_sequences = 8}, 2000); }

  Sequence* Add(GenerationRequest request) {
    sequences_.push_back(std::make_unique<Sequence>(sequences_.size(), Share(std::move(request)), 1 << 20));
    scheduler_->Add(sequences_.back().get());
    return sequences_.back().get();
  }

  // The rows of each sequence in the next step.
  std::map<const Sequence*, int64_t> RunStep() {
    const Step step = scheduler_->Schedule({});
    std::map<const Sequence*, int64_t> rows;
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      const SequencePlan& plan = step.plan.sequences[i];
      rows[step.sequences[i]] = plan.rows;
      step.sequences[i]->Advance(plan.rows, *cache_);
      if (plan.wanted > 0) step.sequences[i]->Append(kSampled);
      if (step.sequences[i]->finished()) scheduler_->Remove(step.sequences[i]);
    }
    return rows;
  }

  static constexpr TokenId kSampled = 77'777;
  std::unique_ptr<PrefixCache> cache_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(DonorTest, EqualPromptsAreReadOnceAndThoseBehindGoOn) {
  Sequence* donor = Add(Forked(1000, 0, 0));
  Sequence* waits = Add(Forked(1000, 0, 0));
  Sequence* passes = Add(Forked(0, 20, 50'000));
  auto rows = RunStep();
  EXPECT_EQ(rows[donor], 32);
  EXPECT_FALSE(rows.contains(waits));
  EXPECT_EQ(rows[passes], 20);
  int64_t steps = 1;
  for (; !rows.contains(waits); ++steps) rows = RunStep();
  EXPECT_EQ(steps, 32);  // after 31 of them 992 tokens are computed
  EXPECT_EQ(rows[waits], 8);
  EXPECT_EQ(rows[donor], 8);
  EXPECT_EQ(waits->output().size(), 1u);
}

TEST_F(DonorTest, WaitsNoLongerThanTheirPromptsAreOne) {
  Sequence* donor = Add(Forked(90, 1000, 10'000));
  Sequence* waits = Add(Forked(90, 1000, 20'000));
  RunStep();
  EXPECT_EQ(donor->computed(), 32);
  EXPECT_FALSE(RunStep().contains(waits));
  EXPECT_FALSE(RunStep().contains(waits));
  EXPECT_EQ(donor->computed(), 96);  // past the five blocks that both have
  EXPECT_TRUE(RunStep().contains(waits));
  EXPECT_EQ(waits->computed(), 80 + 32);
}

TEST_F(DonorTest, NobodyWaitsForLessThanABlock) {
  Add(Forked(15, 1000, 10'000));
  Sequence* other = Add(Forked(15, 1000, 20'000));
  EXPECT_TRUE(RunStep().contains(other));
  Sequence* own_last = Add(Forked(16, 0, 0));  // its only block has the row that is sampled from
  Add(Forked(16, 100, 30'000));
  EXPECT_TRUE(RunStep().contains(own_last));
}

TEST_F(DonorTest, NobodyWaitsForWhatIsKnown) {
  Sequence* first = Add(Forked(64, 0, 0, 1));
  while (!first->finished()) RunStep();
  Add(Forked(64, 1000, 10'000));
  Sequence* other = Add(Forked(64, 1000, 20'000));
  EXPECT_TRUE(RunStep().contains(other));
  EXPECT_EQ(other->computed(), 64 + 32);
}

TEST_F(DonorTest, NobodyWaitsForOneThatDecodes) {
  Sequence* speaks = Add(Forked(40, 0, 0));
  while (speaks->size() < 48) RunStep();  // its next row fills a block
  GenerationRequest next_turn = Forked(40, 0, 0);
  next_turn.prompt_ids.insert(next_turn.prompt_ids.end(), 60, kSampled);  // as the other one speaks
  Sequence* other = Add(next_turn);
  ASSERT_TRUE(other->HasInCommon(*speaks, 2));
  ASSERT_EQ(speaks->remaining(), 1);
  EXPECT_TRUE(RunStep().contains(other));
}

TEST_F(DonorTest, GoesOnByItselfWhereTheDonorEnds) {
  Sequence* donor = Add(Forked(1000, 0, 0));
  Sequence* first = Add(Forked(1000, 0, 0));
  Sequence* second = Add(Forked(1000, 0, 0));
  RunStep();
  RunStep();
  scheduler_->Remove(donor);
  const auto rows = RunStep();
  EXPECT_TRUE(rows.contains(first));
  EXPECT_EQ(first->computed(), 64 + 32);  // from what the donor left
  EXPECT_FALSE(rows.contains(second));    // for the first one now
  scheduler_->Remove(second);
  EXPECT_EQ(scheduler_->waiting(), 0);
}

// The donor and who waits for it both hold on to what they need: those behind them get the rest.
TEST_F(DonorTest, ItsPlaceIsKept) {
  Limit({.max_batch_tokens = 64, .prefill_chunk = 16, .max_sequences = 2}, 2000);
  Add(Forked(100, 0, 0));
  Sequence* waits = Add(Forked(100, 0, 0));
  Sequence* third = Add(Forked(0, 20, 50'000));
  for (int step = 0; step < 20; ++step) EXPECT_FALSE(RunStep().contains(third));
  EXPECT_GT(waits->output().size(), 0u);

  Limit({.max_batch_tokens = 64, .prefill_chunk = 16, .max_sequences = 8, .headroom_tokens = 16}, 14);
  Add(Forked(100, 0, 0));          // seven blocks and one
  waits = Add(Forked(100, 0, 0));  // one of its own and one
  third = Add(Forked(0, 60, 50'000));
  Sequence* fourth = Add(Forked(0, 5, 60'000, 2));
  const auto rows = RunStep();
  EXPECT_FALSE(rows.contains(third) || rows.contains(fourth));  // four and one, of the four that are left
  while (waits->output().empty()) RunStep();
  EXPECT_EQ(third->computed(), 0);
}

TEST_F(DonorTest, APreemptedDonorKeepsNobodyWaiting) {
  Limit({.max_batch_tokens = 64, .prefill_chunk = 16, .max_sequences = 8, .headroom_tokens = 0}, 20);
  Sequence* first = Add(Forked(0, 14, 50'000));
  RunStep();
  Sequence* donor = Add(Forked(290, 0, 0, 10));  // all the other blocks
  Sequence* waits = Add(Forked(290, 0, 0, 10));
  while (scheduler_->preemptions() == 0) ASSERT_FALSE(RunStep().contains(waits));
  EXPECT_EQ(donor->computed(), 0);
  EXPECT_EQ(scheduler_->waiting(), 2);
  scheduler_->Remove(donor);
  scheduler_->Remove(first);
  EXPECT_TRUE(RunStep().contains(waits));
}

}  // namespace
}  // namespace quire::worker
