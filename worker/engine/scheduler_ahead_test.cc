// Plans that are made while the step before is in flight: what they say, when there is none, and what holds
// over random work. The runner looks at every plan for slots and blocks that a step in flight works on.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>

#include "worker/engine/flight.h"
#include "worker/engine/scheduler.h"
#include "worker/engine/testing/scripted_runner.h"

namespace quire::worker {
namespace {

GenerationRequest PromptOf(int64_t tokens, int64_t max_tokens, TokenId first = 0) {
  GenerationRequest request;
  for (int64_t i = 0; i < tokens; ++i) request.prompt_ids.push_back(first + static_cast<TokenId>(i % 7));
  request.max_tokens = max_tokens;
  return request;
}

ScriptedOptions RunnerOptions(const SchedulerLimits& limits, int32_t blocks) {
  ScriptedOptions options;
  options.kv_blocks = blocks;
  options.max_sequences = limits.max_sequences;
  options.stop_every = 20;
  options.stop_id = 7;
  options.runs_ahead = true;
  return options;
}

// Does what the engine does with a scheduler and steps in flight, one thing at a time.
class SchedulerAheadTest : public testing::Test {
 protected:
  SchedulerAheadTest() { Limit({}, 64); }
  void Limit(const SchedulerLimits& limits, int32_t blocks) {
    flight_.reset();
    scheduler_.reset();
    sequences_.clear();  // before the cache that they refer to
    cache_ = std::make_unique<PrefixCache>(blocks);
    scheduler_ = std::make_unique<Scheduler>(limits, cache_.get());
    runner_ = std::make_unique<ScriptedRunner>(RunnerOptions(limits, blocks));
    flight_ = std::make_unique<Flight>(runner_.get(), &clock_, &engine_metrics_);
  }

  std::vector<Sequence*> AddChoices(GenerationRequest request, size_t choices) {
    request.choices.clear();
    for (size_t nth = 0; nth < choices; ++nth)
      request.choices.push_back({.index = static_cast<uint32_t>(nth)});
    const auto shared = Share(std::move(request));
    std::vector<Sequence*> added;
    for (size_t nth = 0; nth < choices; ++nth) {
      sequences_.push_back(std::make_unique<Sequence>(next_ticket_, shared, 1 << 20, nth));
      scheduler_->Add(added.emplace_back(sequences_.back().get()));
    }
    ++next_ticket_;
    return added;
  }
  Sequence* Add(GenerationRequest request) { return AddChoices(std::move(request), 1).front(); }

  // Null where none can be run now.
  const Step* Launch() {
    Step step = scheduler_->Schedule({});
    if (step.sequences.empty()) return nullptr;
    launched_ = step;
    const absl::Status status = flight_->Launch(std::move(step));
    EXPECT_TRUE(status.ok()) << status;
    scheduler_->Launched();
    return &launched_;
  }
  void Land() {
    const auto landed = flight_->Collect();
    ASSERT_TRUE(landed.ok()) << landed.status();
    scheduler_->Collected(landed->step.plan.step);
    for (size_t i = 0; i < landed->step.sequences.size(); ++i) {
      if (Sequence* sequence = landed->step.sequences[i]) {
        sequence->Advance(landed->step.plan.sequences[i].rows, *cache_);
      }
    }
    for (size_t i = 0; i < landed->step.sampled.size(); ++i) {
      Sequence* sequence = landed->step.sampled[i];
      if (sequence == nullptr) continue;
      sequence->Append(landed->result.tokens[i].id);
      if (sequence->finished()) Remove(sequence);
    }
  }
  void Remove(Sequence* sequence) {
    scheduler_->Remove(sequence);
    flight_->Forget(sequence);
    std::erase_if(sequences_, [sequence](const auto& one) { return one.get() == sequence; });
  }

  Metrics metrics_;
  EngineMetrics engine_metrics_{metrics_};
  ManualClock clock_;
  std::unique_ptr<PrefixCache> cache_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // not finished
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ScriptedRunner> runner_;
  std::unique_ptr<Flight> flight_;
  Step launched_;
  uint64_t next_ticket_ = 1;
};

TEST_F(SchedulerAheadTest, APlanBeginsWithWhatTheStepInFlightSamples) {
  Add(PromptOf(3, 1));  // ends with its first token
  Add(PromptOf(16, 10, 20));
  const Step* first = Launch();
  ASSERT_EQ(first->plan.wanted.size(), 2u);
  const Step* second = Launch();
  ASSERT_EQ(second->sequences.size(), 1u);
  const SequencePlan& plan = second->plan.sequences[0];
  EXPECT_EQ(plan.sampled_row, 1);
  EXPECT_EQ(plan.position, 16);
  EXPECT_EQ(plan.blocks, 1) << "for a token that nobody knows";
  EXPECT_EQ(second->plan.samples[0].position, 1u);
  EXPECT_FALSE(flight_->has_room());
}

TEST_F(SchedulerAheadTest, WhoWasCollectedIsPlannedByWhatItIs) {
  Add(PromptOf(3, 10));
  Launch();
  Land();
  const Step* second = Launch();
  EXPECT_EQ(second->plan.sequences[0].sampled_row, -1);
  EXPECT_NE(second->plan.ids[0], 0);
}

TEST_F(SchedulerAheadTest, NothingIsPlannedWhereOneNeedsItsToken) {
  Add(PromptOf(20, 10, 20));
  GenerationRequest penalizing = PromptOf(3, 10);
  penalizing.sampling.presence_penalty = 1;
  Add(penalizing);
  Launch();
  Add(PromptOf(5, 5, 50));
  const int32_t idle = cache_->idle();
  EXPECT_EQ(Launch(), nullptr);
  EXPECT_EQ(cache_->idle(), idle);
  EXPECT_EQ(scheduler_->waiting(), 1);
  Land();
  EXPECT_EQ(Launch()->sequences.size(), 3u);
}

TEST_F(SchedulerAheadTest, APromptIsAdmittedAndReadAhead) {
  Limit({.prefill_chunk = 16}, 64);
  Add(PromptOf(40, 10, 20));
  Launch();
  Sequence* other = Add(PromptOf(5, 5, 50));
  const Step* second = Launch();
  EXPECT_EQ(second->admitted, std::vector<Sequence*>{other});
  EXPECT_EQ(second->plan.sequences.at(1).position, 16);
  EXPECT_EQ(second->plan.sequences.at(1).sampled_row, -1);
}

TEST_F(SchedulerAheadTest, WhatLeavesIsHeldUntilNoStepWritesIt) {
  Limit({.max_sequences = 1}, 4);
  Sequence* leaves = Add(PromptOf(30, 30));
  Launch();
  Sequence* next = Add(PromptOf(5, 5, 50));
  Remove(leaves);
  EXPECT_EQ(cache_->idle(), 2);
  EXPECT_EQ(Launch(), nullptr) << "there is no slot";
  Land();
  EXPECT_EQ(cache_->idle(), 4);
  const Step* step = Launch();
  EXPECT_EQ(step->admitted, std::vector<Sequence*>{next});
  EXPECT_TRUE(std::holds_alternative<CloseSlot>(step->plan.ops.at(0)));
}

TEST_F(SchedulerAheadTest, AForkThatLeavesBeforeItBeganIsNeverMade) {
  for (const bool in_flight : {false, true}) {
    Limit({}, 64);
    const auto choices = AddChoices(PromptOf(20, 30), 3);
    EXPECT_EQ(Launch()->sampled.size(), 3u);
    if (!in_flight) Land();
    ASSERT_EQ(sequences_.size(), 3u) << "none has ended";
    const int32_t idle = cache_->idle();
    Remove(choices[1]);
    EXPECT_EQ(cache_->idle(), idle + 1) << "which nobody writes";
    const Step* next = Launch();
    EXPECT_EQ(next->sequences.size(), 2u);
    EXPECT_EQ(next->plan.ops.size(), 2u) << "a fork, and its copy of the last block";
  }
}

TEST_F(SchedulerAheadTest, NobodyIsPreemptedAhead) {
  Limit({.headroom_tokens = 0}, 9);
  for (int i = 0; i < 4; ++i) Add(PromptOf(14, 60, 100 * i));
  int64_t refused = 0;
  while (!scheduler_->empty() || !flight_->empty()) {
    const bool one_runs = !flight_->empty();
    const int64_t preemptions = scheduler_->preemptions();
    const bool launched = Launch() != nullptr;
    ASSERT_TRUE(!one_runs || scheduler_->preemptions() == preemptions);
    if (one_runs && !launched && !scheduler_->empty()) ++refused;
    if (!launched || !flight_->has_room()) Land();
    if (HasFailure()) return;
  }
  EXPECT_GT(scheduler_->preemptions(), 0);
  EXPECT_GT(refused, 0);
}

// Whoever runs is in the plan, or ends with the step in flight, or there is no plan.
void CheckServed(const Step& step, const std::vector<std::unique_ptr<Sequence>>& live) {
  std::set<const Sequence*> served(step.sequences.begin(), step.sequences.end());
  served.insert(step.sampled.begin(), step.sampled.end());
  for (const auto& sequence : live) {
    if (!sequence->slot() || served.contains(sequence.get())) continue;
    ASSERT_TRUE(sequence->awaits_token() && sequence->EndsByLength()) << "it was starved";
  }
}

TEST_F(SchedulerAheadTest, RandomWorkLeaksStarvesAndOverrunsNothing) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const int64_t chunk = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 16 : 512;
    const auto blocks = static_cast<int32_t>(3 + seed * 2);
    const int64_t longest = int64_t{blocks} * kBlockTokens;
    Limit({.max_batch_tokens = 32, .prefill_chunk = chunk, .max_sequences = 6, .headroom_tokens = 0}, blocks);
    int64_t ahead = 0;
    for (int i = 0; i < 1000; ++i) {
      while (sequences_.size() < 12 && random() % 3 != 0) {
        const auto prompt = static_cast<int64_t>(1 + random() % (longest - 1));
        GenerationRequest request = PromptOf(prompt, 1 + random() % (longest - prompt + 1), random() % 2 * 5);
        request.stop_ids = {7};
        if (random() % 20 == 0) request.sampling.frequency_penalty = 1;
        AddChoices(request, 1 + random() % 3);
      }
      if (!sequences_.empty() && random() % 10 == 0) Remove(sequences_[random() % sequences_.size()].get());
      const bool one_runs = !flight_->empty();
      if (const Step* step = Launch()) {
        ahead += one_runs;
        CheckServed(*step, sequences_);
        ASSERT_LE(step->plan.tokens(), 32);
      } else {
        ASSERT_TRUE(one_runs || sequences_.empty());
      }
      if (!flight_->has_room() || (!flight_->empty() && random() % 2 == 0)) Land();
      ASSERT_TRUE(cache_->CheckIntegrity().ok());
      if (HasFailure()) return;
    }
    while (!flight_->empty()) Land();
    while (!sequences_.empty()) Remove(sequences_.back().get());
    EXPECT_EQ(cache_->idle(), cache_->total()) << "blocks leaked";
    EXPECT_GT(ahead, 100);
  }
}

}  // namespace
}  // namespace quire::worker
