// Prompts whose own tokens are scored: the same numbers whatever the chunk, the cache and who is preempted,
// each once, and never more logits in a step than there is room for.
#include "worker/engine/scored_prompt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

constexpr int64_t kChunks[] = {1, 7, 16, 512};

GenerationRequest Scored(int64_t prompt, TokenId first, int64_t from = 1) {
  GenerationRequest request;
  request.prompt_ids.resize(static_cast<size_t>(prompt));
  std::iota(request.prompt_ids.begin(), request.prompt_ids.end(), first);
  request.max_tokens = 3;
  request.scoring = {.from = from, .top_logprobs = 2};
  return request;
}

// Of each plan: the wanted rows, and the scored ones among them.
struct Wants {
  size_t most = 0;
  int64_t scored = 0;

  void Watch(ScriptedOptions& script) {
    script.on_launch = [this, launch = script.on_launch](const BatchPlan& plan) {
      most = std::max(most, plan.wanted.size());
      scored += std::ranges::count_if(plan.wanted, [](const WantedRow& row) { return row.scored != -1; });
      return launch ? launch(plan) : absl::OkStatus();
    };
  }
};

TEST(ScoredPrompt, KnowsWhichRowsLackAScore) {
  ScoredPrompt none(EqualTokens(40, 1));
  EXPECT_TRUE(none.done());
  EXPECT_EQ(none.Within(0, 40).count, 0);
  ScoredPrompt all(Scored(40, 0));
  EXPECT_EQ(all.first_row(), 0);
  EXPECT_EQ(all.Within(0, 40).count, 39);  // the last row's next token is no prompt's
  EXPECT_EQ(all.Within(30, 16).first, 30);
  EXPECT_EQ(all.Within(30, 16).count, 9);
  EXPECT_EQ(all.Within(39, 5).count, 0);
  EXPECT_FALSE(all.Take(2));
  EXPECT_TRUE(all.Take(1));
  EXPECT_FALSE(all.Take(1));
  EXPECT_EQ(all.Within(0, 3).first, 1);
  EXPECT_EQ(all.Within(0, 3).count, 2);
  EXPECT_TRUE(ScoredPrompt(Scored(1, 0)).done());
  EXPECT_TRUE(ScoredPrompt(Scored(9, 0, 9)).done());
}

TEST(ScoredPrompt, ScoresAreTheSameAtEveryChunkAndFromEveryPosition) {
  for (const bool ahead : {false, true}) {
    for (const int64_t chunk : kChunks) {
      SCOPED_TRACE(testing::Message() << "chunk " << chunk << (ahead ? ", ahead" : ""));
      EngineKnobs knobs;
      knobs.limits.prefill_chunk = chunk;
      knobs.script.runs_ahead = ahead;
      TestEngine group(knobs);
      for (const int64_t from : {1, 2, 16, 17, 33, 99, 100}) {
        for (int round = 0; round < 2; ++round) {  // the second one finds all blocks in the cache
          const GenerationRequest request = Scored(100, 3, from);
          const auto answer = group.RunToEnd(request);
          group.ExpectWhole(request, *answer);
          EXPECT_EQ(answer->scores.size(), 100 - static_cast<size_t>(from));
        }
      }
      group.StopAndAudit();
    }
  }
}

// Blocks whose rows are to be scored are none that the cache has; it gets them all the same.
TEST(ScoredPrompt, TheCacheIsWrittenAndReadUpToTheFirstScore) {
  TestEngine group(EngineKnobs{});
  EXPECT_EQ(group.RunToEnd(Scored(100, 3))->cached_tokens, 0);
  EXPECT_EQ(group.RunToEnd(Scored(100, 3))->cached_tokens, 0);
  EXPECT_EQ(group.RunToEnd(Scored(100, 3, 33))->cached_tokens, 32);
  EXPECT_EQ(group.RunToEnd(Scored(100, 3, 32))->cached_tokens, 16);
  GenerationRequest plain = Scored(100, 3);
  plain.scoring.reset();
  EXPECT_EQ(group.RunToEnd(plain)->cached_tokens, 96);
  group.StopAndAudit();
}

// They come a few a step: who needs the same ones has computed them sooner.
TEST(ScoredPrompt, NobodyWaitsForItsBlocks) {
  EngineKnobs knobs;
  knobs.kv_blocks = 400;
  Notification there;
  HoldLaunches(knobs, there);
  TestEngine group(knobs);
  GenerationRequest plain = Scored(1000, 3);
  const auto scored = group.Start(plain);
  plain.scoring.reset();
  const auto beside = group.Start(plain);
  there.Notify();
  beside->done.WaitForNotification();
  scored->done.WaitForNotification();
  group.ExpectWhole(plain, *beside);
  EXPECT_LT(beside->cached_tokens, 500);
  group.StopAndAudit();
}

// More prompts than rows that a step scores: each gets on, and none wants a row too many.
TEST(ScoredPrompt, AStepScoresFewRows) {
  for (const int64_t sequences : {1, 3, 40}) {
    SCOPED_TRACE(sequences);
    EngineKnobs knobs;
    knobs.kv_blocks = 400;
    knobs.waiting_room = 100;
    knobs.limits.max_sequences = sequences;
    Notification there;
    HoldLaunches(knobs, there);
    Wants wants;
    wants.Watch(knobs.script);
    TestEngine group(knobs);
    std::vector<GenerationRequest> requests;
    std::vector<std::shared_ptr<RequestAnswer>> answers;
    for (int32_t i = 0; i < 45; ++i) {
      requests.push_back(Scored(20 + i, 20 * i));
      answers.push_back(group.Start(requests.back()));
    }
    there.Notify();
    int64_t tokens = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i]->done.WaitForNotification();
      group.ExpectWhole(requests[i], *answers[i]);
      tokens += std::ssize(requests[i].prompt_ids) - 1;
    }
    group.StopAndAudit();
    EXPECT_LE(wants.most, static_cast<size_t>(knobs.limits.wanted_rows()));
    EXPECT_EQ(wants.scored, tokens);
    EXPECT_EQ(group.Metric("quire_worker_scored_tokens_total"), static_cast<double>(tokens));
  }
}

// Choices that fork from one prefill: it is scored once, and its logprobs are told once.
TEST(ScoredPrompt, ChoicesShareTheScores) {
  for (const bool ahead : {false, true}) {
    EngineKnobs knobs;
    knobs.script.runs_ahead = ahead;
    Wants wants;
    wants.Watch(knobs.script);
    TestEngine group(knobs);
    GenerationRequest request = Scored(90, 5);
    request.choices = Choices({0, 1, 2, 3});
    group.ExpectWhole(request, *group.RunToEnd(request));
    group.StopAndAudit();
    EXPECT_EQ(wants.scored, 89);
    EXPECT_EQ(group.copies(), 3);
  }
}

// A grammar that lets nothing come has no answer end before the prompt was read.
TEST(ScoredPrompt, AnAnswerThatMayOnlyBeEmptyIsAStopId) {
  EngineKnobs knobs;
  TestEngine group(knobs);
  for (const int64_t from : {1, 40}) {  // or all of it was, by an earlier attempt
    GenerationRequest request = Scored(40, 5, from);
    request.stop_ids = {2};
    request.grammar = *ScriptedGrammarCompiler().Compile("scripted", ".", 1000);
    request.choices = Choices({0, 1});
    const auto answer = group.RunToEnd(request);
    EXPECT_TRUE(answer->status().ok()) << answer->status();
    TestEngine::ExpectScores(request, *answer);
    EXPECT_EQ(answer->scores.size(), 40 - static_cast<size_t>(from));
    for (const uint32_t choice : {0, 1}) {
      EXPECT_EQ(answer->ids(choice), std::vector<TokenId>{2});
      EXPECT_EQ(answer->finished(choice), FinishCause::kStop);
    }
    request.min_tokens = 1;
    EXPECT_EQ(group.RunToEnd(request)->status().code(), absl::StatusCode::kInvalidArgument);
    request.min_tokens = 0;
    request.ignore_eos = true;
    EXPECT_EQ(group.RunToEnd(request)->status().code(), absl::StatusCode::kInvalidArgument);
  }
  group.StopAndAudit();
}

// Blocks for one and a half: the last admitted goes back and forth, and its scores come once.
TEST(ScoredPrompt, APreemptedPromptGoesOnWithItsNextScore) {
  for (const int64_t chunk : kChunks) {
    EngineKnobs knobs;
    knobs.kv_blocks = 14;
    knobs.limits.prefill_chunk = chunk;
    knobs.limits.headroom_tokens = 0;
    Notification there;
    HoldLaunches(knobs, there);
    TestEngine group(knobs);
    std::vector<GenerationRequest> requests;
    std::vector<std::shared_ptr<RequestAnswer>> answers;
    for (int32_t i = 0; i < 4; ++i) {
      requests.push_back(Scored(90, 100 * i));
      requests.back().max_tokens = 60;
      answers.push_back(group.Start(requests.back()));
    }
    there.Notify();
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i]->done.WaitForNotification();
      group.ExpectWhole(requests[i], *answers[i]);
    }
    group.StopAndAudit();
    EXPECT_GT(group.Metric("quire_worker_preemptions_total"), 0);
  }
}

TEST(ScoredPrompt, ARowThatIsNotFiniteFailsTheRequestAlone) {
  EngineKnobs knobs;
  knobs.script.on_collect = [](const BatchPlan& plan, std::span<const SampleSpec* const> specs,
                               StepResult& result) {
    for (size_t i = 0; i < specs.size(); ++i) {
      if (plan.wanted[i].scored == 77) result.tokens[i].failed = true;
    }
  };
  TestEngine group(knobs);
  const GenerationRequest good = Scored(60, 100), bad = Scored(60, 50);
  const auto failed = group.Start(bad), whole = group.Start(good);
  failed->done.WaitForNotification();
  whole->done.WaitForNotification();
  EXPECT_EQ(failed->status().code(), absl::StatusCode::kInternal);
  TestEngine::ExpectScores(bad, *failed);
  EXPECT_LT(failed->scores.size(), 27u);
  group.ExpectWhole(good, *whole);
  group.StopAndAudit();
}

}  // namespace
}  // namespace quire::worker
