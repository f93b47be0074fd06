// Requests of several choices: each gets what it would get alone, and their prompt is read once.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "worker/engine/test_engine.h"

namespace quire::worker {
namespace {

constexpr TokenId kStopId = 7;

// Holds the counts that a runner is shown of each choice against the tokens that the choice was given.
class CountsWatch {
 public:
  void AddPrompt(const GenerationRequest& request) {
    prompts_[request.seed] = {request.prompt_ids.begin(), request.prompt_ids.end()};
  }

  void Watch(ScriptedOptions& script) {
    script.on_launch = [this](const BatchPlan&) {
      begin_.WaitForNotification();
      return absl::OkStatus();
    };
    script.on_collect = [this](const BatchPlan&, std::span<const SampleSpec* const> specs,
                               const StepResult& result) {
      for (size_t i = 0; i < specs.size(); ++i) {
        if (specs[i]->scored != -1) continue;
        Check(*specs[i]);
        outputs_[{specs[i]->seed, specs[i]->choice}][result.tokens[i].id] += 1;
      }
    };
  }
  // Steps wait for it.
  void Begin() { begin_.Notify(); }
  int checks() const { return checks_; }

 private:
  void Check(const SampleSpec& sample) {
    if (sample.counts == nullptr) return;
    ++checks_;
    std::map<TokenId, int> outputs;
    std::set<TokenId> prompt;
    for (const auto& [id, count] : sample.counts->counts()) {
      if (count.output > 0) outputs[id] = count.output;
      if (count.in_prompt) prompt.insert(id);
    }
    ASSERT_EQ(outputs, (outputs_[{sample.seed, sample.choice}])) << sample.seed;
    ASSERT_EQ(prompt, prompts_[sample.seed]) << sample.seed;
    ASSERT_TRUE(sample.uncounted.empty()) << "it guesses nothing";
  }

  Notification begin_;
  std::map<uint64_t, std::set<TokenId>> prompts_;  // by seed
  std::map<std::pair<uint64_t, uint32_t>, std::map<TokenId, int>> outputs_;
  int checks_ = 0;
};

GenerationRequest RandomChoices(std::mt19937& random, uint64_t seed) {
  GenerationRequest request;
  request.prompt_ids = RandomPrompt(random);
  request.max_tokens = static_cast<int64_t>(1 + random() % 40);
  request.seed = seed;
  request.stop_ids = {kStopId};
  request.min_tokens = static_cast<int64_t>(random() % 5);
  if (random() % 2 == 0) request.sampling.frequency_penalty = 0.5f;
  std::set<uint32_t> indexes;
  for (uint32_t n = 1 + random() % 5; indexes.size() < n;) indexes.insert(random() % 128);
  request.choices = Choices({indexes.begin(), indexes.end()});
  if (seed % 4 == 3) request.scoring = {.top_logprobs = 2};
  return request;
}

// How often one was preempted.
double ExpectSamenessOfChoices(EngineKnobs knobs, uint32_t seed) {
  knobs.script.stop_every = 30;
  knobs.script.stop_id = kStopId;
  CountsWatch watch;
  watch.Watch(knobs.script);
  std::mt19937 random(seed);
  std::vector<GenerationRequest> requests;
  for (uint64_t i = 0; i < 12; ++i) {
    requests.push_back(RandomChoices(random, i));
    watch.AddPrompt(requests.back());
  }
  TestEngine group(knobs);
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (const GenerationRequest& request : requests) answers.push_back(group.Start(request));
  watch.Begin();
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "request " << i << " of seed " << seed);
    answers[i]->done.WaitForNotification();
    group.ExpectWhole(requests[i], *answers[i]);
  }
  group.StopAndAudit();
  EXPECT_GT(watch.checks(), 100);
  EXPECT_GT(group.Metric("quire_worker_prefix_cache_hit_tokens_total"), 0);
  EXPECT_GT(group.copies(), 0);
  return group.Metric("quire_worker_preemptions_total");
}

TEST(Choices, EachGetsWhatItGetsAloneAtEveryChunkAndUnderPreemption) {
  for (const int64_t chunk : {1, 16, 512}) {
    for (const int32_t blocks : {400, 14}) {
      SCOPED_TRACE(testing::Message() << "chunk " << chunk << ", blocks " << blocks);
      const SchedulerLimits limits = {
          .max_batch_tokens = 512, .prefill_chunk = chunk, .max_sequences = 32, .headroom_tokens = 0};
      double preemptions = 0;
      for (uint32_t seed = 1; seed <= 4; ++seed) {
        preemptions += ExpectSamenessOfChoices({limits, blocks, 64, {}}, seed);
      }
      EXPECT_EQ(preemptions > 0, blocks < 100);
    }
  }
}

TEST(Choices, EqualRequestsOfOneChoiceEach) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(50, 20);
  request.choices = Choices({0, 3, 127});
  const auto together = group.RunToEnd(request);
  for (const uint32_t index : {0u, 3u, 127u}) {
    request.choices = Choices({index});
    EXPECT_EQ(group.RunToEnd(request)->ids(index), together->ids(index));
  }
  EXPECT_NE(together->ids(0), together->ids(3));
  group.StopAndAudit();
}

// No row of it is computed for another choice: of 100 tokens 96 are whole blocks, which they share, and the
// last block is copied for each but the first.
TEST(Choices, ReadTheirPromptOnce) {
  for (const int64_t chunk : {1, 7, 16, 512}) {
    SCOPED_TRACE(chunk);
    EngineKnobs knobs;
    knobs.limits.prefill_chunk = chunk;
    TestEngine group(knobs);
    GenerationRequest request = EqualTokens(100, 5);
    request.choices = Choices({0, 1, 2, 3});
    const auto answer = group.RunToEnd(request);
    group.ExpectWhole(request, *answer);
    EXPECT_EQ(answer->cached_tokens, 0);  // by the first
    group.StopAndAudit();
    EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 100 + 4 * 4);
    EXPECT_EQ(group.Metric("quire_worker_prefix_cache_hit_tokens_total"), 0);
    EXPECT_EQ(group.Metric("quire_worker_batch_sequences_max"), 4);
    EXPECT_EQ(group.copies(), 3);
  }
}

TEST(Choices, APromptOfWholeBlocksIsCopiedForNobody) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(48, 20);
  request.choices = Choices({0, 1, 2});
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 48 + 3 * 19);
  EXPECT_EQ(group.copies(), 0);
}

// The first choice is done with its first token, before the others have a slot.
TEST(Choices, ThoseWhoForkedFromOneThatIsGoneGoOn) {
  TestEngine group{EngineKnobs()};
  for (const int64_t tokens : {1, 2}) {
    GenerationRequest request = EqualTokens(20, tokens);
    request.choices = Choices({0, 1, 2});
    group.ExpectWhole(request, *group.RunToEnd(request));
  }
  GenerationRequest request = EqualTokens(21, 30);
  request.stop_ids = {group.Expected(request)[0]};  // of choice 0
  request.choices = Choices({0, 1, 2});
  const auto answer = group.RunToEnd(request);
  group.ExpectWhole(request, *answer);
  EXPECT_EQ(answer->ids(0).size(), 1u);
  EXPECT_GT(answer->ids(1).size(), 1u);
  group.StopAndAudit();
}

// With room for two: the third is admitted once one of them has ended, and reads what no block holds.
TEST(Choices, WhoFindsNoPlaceToForkReadsTheRest) {
  EngineKnobs knobs;
  knobs.limits.max_sequences = 2;
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(100, 5);
  request.choices = Choices({0, 1, 2});
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 100 + 4 + 3 * 4);
  EXPECT_EQ(group.copies(), 1);
}

TEST(Choices, EqualPromptsThatWaitTogetherAreReadOnce) {
  EngineKnobs knobs;
  knobs.limits.prefill_chunk = 16;
  Notification all_there;
  HoldLaunches(knobs, all_there);
  TestEngine group(knobs);
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    requests.push_back(EqualTokens(100, 5));
    requests.back().seed = seed;
    answers.push_back(group.Start(requests.back()));
  }
  all_there.Notify();
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i]->done.WaitForNotification();
    group.ExpectWhole(requests[i], *answers[i]);
    EXPECT_EQ(answers[i]->cached_tokens, i == 0 ? 0 : 96);
  }
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 100 + 4 * 4 + 5 * 4);
}

TEST(Choices, WhatIsCachedIsToldOnce) {
  TestEngine group{EngineKnobs()};
  group.RunToEnd(EqualTokens(40, 1));
  GenerationRequest request = EqualTokens(40, 3);
  request.choices = Choices({0, 1, 2});
  EXPECT_EQ(group.RunToEnd(request)->cached_tokens, 32);
  group.StopAndAudit();
}

TEST(Choices, ResumeEachWhereItStood) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 30);
  request.choices = Choices({0, 1, 2});
  const auto whole = group.RunToEnd(request);
  const std::vector<int64_t> kept = {13, 0, 29};
  for (size_t nth = 0; nth < 3; ++nth) {
    const auto& ids = whole->ids(static_cast<uint32_t>(nth));
    request.choices[nth].resumed_ids.assign(ids.begin(), ids.begin() + kept[nth]);
  }
  const auto resumed = group.RunToEnd(request);
  for (size_t nth = 0; nth < 3; ++nth) {
    const auto& ids = whole->ids(static_cast<uint32_t>(nth));
    EXPECT_EQ(resumed->ids(static_cast<uint32_t>(nth)),
              std::vector<TokenId>(ids.begin() + kept[nth], ids.end()));
  }
  group.StopAndAudit();
}

TEST(Choices, ThoseWithNothingToDoAreFinishedWithoutARow) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 2);
  request.stop_ids = {kStopId};
  request.choices = {{.index = 0, .done = true}, {1, {1, 2}}, {2, {kStopId}}, {3}};
  const auto answer = group.RunToEnd(request);
  EXPECT_EQ(answer->finished(0), FinishCause::kDone);
  EXPECT_EQ(answer->finished(1), FinishCause::kLength);
  EXPECT_EQ(answer->finished(2), FinishCause::kStop);
  EXPECT_EQ(answer->ids(3), group.Expected(request, 3));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 20 + 1);
}

TEST(Choices, ARequestWhoseChoicesAreAllDoneEndsWithoutAStep) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 2);
  request.choices = {{.index = 0, .done = true}, {5, {1, 2}}};
  const auto answer = group.RunToEnd(request);
  EXPECT_TRUE(answer->status().ok());
  EXPECT_EQ(answer->cached_tokens, 0);
  request.choices.clear();  // refused at the door; here it hangs nobody
  EXPECT_TRUE(group.RunToEnd(request)->status().ok());
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_steps_total"), 0);
}

}  // namespace
}  // namespace quire::worker
