// The engine over a runner that runs ahead: a step is launched while the one before runs, and what ends in
// one step is in the next one for nobody.
#include <gtest/gtest.h>

#include <string>

#include "worker/engine/test_engine.h"
#include "worker/engine/testing/scripted_grammar.h"

namespace quire::worker {
namespace {

EngineKnobs AheadKnobs(bool ahead = true) {
  EngineKnobs knobs;
  knobs.limits.target_step_ms = 0;  // plans depend on no clock
  knobs.script.runs_ahead = ahead;
  return knobs;
}

GenerationRequest PenalizingTokens(int64_t prompt, int64_t max_tokens) {
  GenerationRequest request = EqualTokens(prompt, max_tokens);
  request.sampling.presence_penalty = 1;
  return request;
}

// ---- what runs ahead, and what is launched ----

TEST(Ahead, EveryStepOfASteadyStateDoesAndNoneIsForNobody) {
  TestEngine group(AheadKnobs());
  const GenerationRequest request = EqualTokens(20, 50);
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_steps_total"), 50) << "that its 50th token is the last is known";
  EXPECT_EQ(group.Metric("quire_worker_steps_ahead_total"), 49);
  EXPECT_EQ(group.ahead(), 49);
}

TEST(Ahead, ChunksOfAPromptDoToo) {
  EngineKnobs knobs = AheadKnobs();
  knobs.limits.prefill_chunk = 16;
  TestEngine group(knobs);
  const GenerationRequest request = EqualTokens(100, 3);
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_steps_total"), 7 + 2);
  EXPECT_EQ(group.Metric("quire_worker_steps_ahead_total"), 8);
}

TEST(Ahead, AStopIdCostsOneStepThatIsForNobody) {
  TestEngine group(AheadKnobs());
  GenerationRequest request = EqualTokens(20, 50);
  request.stop_ids = {group.Expected(request)[9]};
  const std::vector<TokenId> expected = group.Expected(request);
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
  EXPECT_EQ(group.Metric("quire_worker_steps_total"), static_cast<double>(expected.size()) + 1);
  EXPECT_EQ(group.Metric("quire_worker_emitted_tokens_total"), static_cast<double>(expected.size()));
}

// Its counts, or its grammar, would be a token behind: so all wait for each step, as without running ahead.
TEST(Ahead, NobodyDoesWhileOneIsThereThatNeedsItsLastToken) {
  GenerationRequest by_grammar = EqualTokens(20, 30);
  std::string any_ids = "*";
  for (int i = 0; i < 30; ++i) any_ids += ";*";
  by_grammar.grammar = *ScriptedGrammarCompiler().Compile("scripted", any_ids, 1000);
  for (const GenerationRequest& request : {PenalizingTokens(20, 30), by_grammar}) {
    TestEngine group(AheadKnobs());
    const auto answer = group.RunToEnd(request);
    EXPECT_EQ(answer->ids().size(), 30u);
    if (request.grammar == nullptr) group.ExpectWhole(request, *answer);
    const GenerationRequest other = EqualTokens(20, 10);
    group.ExpectWhole(other, *group.RunToEnd(other));
    group.StopAndAudit();
    EXPECT_EQ(group.Metric("quire_worker_steps_ahead_total"), 9) << "the other one's";
  }
}

// ---- ends while a row is in flight ----

// With a stop id at each place around the ends of blocks: nothing of the row behind it is found later.
TEST(Ahead, WhatCameBehindAStopIdHasNoName) {
  for (size_t length = 1; length < 30; ++length) {
    SCOPED_TRACE(length);
    std::vector<std::shared_ptr<RequestAnswer>> again;
    for (const bool ahead : {false, true}) {
      TestEngine group(AheadKnobs(ahead));
      GenerationRequest request = EqualTokens(10, 60);
      request.stop_ids = {group.Expected(request)[length - 1]};
      const auto answer = group.RunToEnd(request);
      group.ExpectWhole(request, *answer);
      GenerationRequest longer = request;
      longer.prompt_ids.insert(longer.prompt_ids.end(), answer->ids().begin(), answer->ids().end());
      longer.prompt_ids.insert(longer.prompt_ids.end(), 40, 3);
      longer.stop_ids.clear();
      again.push_back(group.RunToEnd(longer));
      group.ExpectWhole(longer, *again.back());
      group.StopAndAudit();
    }
    EXPECT_EQ(again[0]->cached_tokens, again[1]->cached_tokens);
  }
}

// With no block to spare and one slot: who comes next gets them only once nothing writes there any more, of
// which the runner tells (ScriptedRunner).
TEST(Ahead, SlotAndBlocksAreTheNextOnesWhenNoStepWritesThem) {
  EngineKnobs knobs = AheadKnobs();
  knobs.limits.max_sequences = 1;
  knobs.limits.max_batch_tokens = 64;
  knobs.kv_blocks = 4;
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(20, 40);
  request.stop_ids = {group.Expected(request)[5]};
  std::vector<GenerationRequest> requests;
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (uint64_t i = 0; i < 20; ++i) {
    requests.push_back(request);
    requests.back().cache_salt = std::to_string(i % 3);
    answers.push_back(group.Start(requests.back()));
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i]->done.WaitForNotification();
    group.ExpectWhole(requests[i], *answers[i]);
  }
  group.StopAndAudit();
}

// At every moment of a step: while it is launched and when it is collected, with the next one in flight.
TEST(Ahead, ACancelledRequestCostsTwoStepsAtMost) {
  for (const bool at_collect : {false, true}) {
    for (uint64_t step = 1; step < 12; ++step) {
      SCOPED_TRACE(testing::Message() << step << at_collect);
      EngineKnobs knobs = AheadKnobs();
      knobs.limits.prefill_chunk = 16;
      TestEngine* engine = nullptr;
      uint64_t ticket = 0;
      Notification submitted;
      const auto cancel = [&](const BatchPlan& plan) {
        submitted.WaitForNotification();
        if (plan.step == step) engine->engine().Cancel(ticket);
      };
      knobs.script.on_launch = [&](const BatchPlan& plan) {
        if (!at_collect) cancel(plan);
        return absl::OkStatus();
      };
      knobs.script.on_collect = [&](const BatchPlan& plan, std::span<const SampleSpec* const>, StepResult&) {
        if (at_collect) cancel(plan);
      };
      TestEngine group(knobs);
      engine = &group;
      GenerationRequest request = EqualTokens(50, 900);
      request.choices = Choices({0, 1, 2});
      auto answer = std::make_shared<RequestAnswer>(request);
      ticket = *group.Submit(request, answer);
      const GenerationRequest other = EqualTokens(30, 40);
      const auto other_answer = group.Start(other);
      submitted.Notify();
      other_answer->done.WaitForNotification();
      group.ExpectWhole(other, *other_answer);
      group.StopAndAudit();  // the bound, too
      EXPECT_FALSE(answer->end.has_value());
      EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 1);
      EXPECT_GE(group.Metric("quire_worker_steps_after_cancel_max"), 1);
    }
  }
}

// Tells of each reading. The engine reads it before it launches a step, with its plan made, and after.
class WatchedClock final : public Clock {
 public:
  explicit WatchedClock(std::function<void()> on_reading) : on_reading_(std::move(on_reading)) {}
  int64_t NowUs() const override {
    on_reading_();
    return 0;
  }
  int64_t UnixMs() const override { return 0; }

 private:
  const std::function<void()> on_reading_;
};

TEST(Ahead, ACancelThatComesBehindThePlanDoesNot) {
  for (int reading = 1; reading < 20; ++reading) {
    SCOPED_TRACE(reading);
    TestEngine* engine = nullptr;
    uint64_t ticket = 0;
    int readings = 0;
    Notification submitted;
    const WatchedClock clock([&] {
      submitted.WaitForNotification();
      if (++readings == reading) engine->engine().Cancel(ticket);
    });
    EngineKnobs knobs = AheadKnobs();
    knobs.clock = &clock;
    TestEngine group(knobs);
    engine = &group;
    const GenerationRequest request = EqualTokens(5, 900), other = EqualTokens(30, 40);
    ticket = *group.Submit(request, std::make_shared<RequestAnswer>(request));
    const auto other_answer = group.Start(other);
    submitted.Notify();
    other_answer->done.WaitForNotification();
    group.ExpectWhole(other, *other_answer);
    group.StopAndAudit();  // the bound, too
  }
}

TEST(Ahead, OfAFailedRowNothingIsFoundAndItsNextRowsAreForNobody) {
  EngineKnobs knobs = AheadKnobs();
  knobs.script.on_collect = [](const BatchPlan&, std::span<const SampleSpec* const> specs,
                               StepResult& result) {
    for (size_t i = 0; i < specs.size(); ++i) {
      result.tokens[i].failed = specs[i]->seed == 666 && specs[i]->choice == 1 && specs[i]->position == 3;
    }
  };
  TestEngine group(knobs);
  GenerationRequest bad = EqualTokens(100, 30);
  const GenerationRequest good = EqualTokens(10, 60);
  bad.seed = 666;
  bad.choices = Choices({0, 1, 2});
  const auto good_answer = group.Start(good);
  const auto bad_answer = group.RunToEnd(bad);
  EXPECT_EQ(bad_answer->status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad_answer->ids(1).size(), 3u);
  good_answer->done.WaitForNotification();
  group.ExpectWhole(good, *good_answer);
  bad.seed = 0;
  EXPECT_EQ(group.RunToEnd(bad)->cached_tokens, 0);
  group.StopAndAudit();
}

// ---- forks and donors ----

TEST(Ahead, ChoicesReadTheirPromptOnceAndForkFromAStepInFlight) {
  for (const int64_t chunk : {1, 7, 16, 512}) {
    SCOPED_TRACE(chunk);
    EngineKnobs knobs = AheadKnobs();
    knobs.limits.prefill_chunk = chunk;
    TestEngine group(knobs);
    GenerationRequest request = EqualTokens(100, 5);
    request.choices = Choices({0, 1, 2, 3});
    group.ExpectWhole(request, *group.RunToEnd(request));
    group.StopAndAudit();
    EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 100 + 4 * 4);
    EXPECT_EQ(group.copies(), 3);
    EXPECT_EQ(group.ahead(), 4 * 4);
  }
}

// The donor's last chunk, too, has blocks for them: known when it was collected.
TEST(Ahead, EqualPromptsThatWaitTogetherAreReadOnce) {
  for (const int64_t chunk : {16, 64}) {
    EngineKnobs knobs = AheadKnobs();
    knobs.limits.prefill_chunk = chunk;
    Notification all_there;
    HoldLaunches(knobs, all_there);
    TestEngine group(knobs);
    std::vector<std::shared_ptr<RequestAnswer>> answers;
    for (int i = 0; i < 5; ++i) answers.push_back(group.Start(EqualTokens(100, 5)));
    all_there.Notify();
    for (const auto& answer : answers) {
      answer->done.WaitForNotification();
      group.ExpectWhole(EqualTokens(100, 5), *answer);
    }
    group.StopAndAudit();
    EXPECT_EQ(group.Metric("quire_worker_computed_tokens_total"), 100 + 4 * 4 + 5 * 4) << chunk;
  }
}

// ---- the engine's end, with a step in flight ----

// Launches and collects that the runner saw.
struct StepCount {
  int launched = 0, collected = 0;
  void Count(ScriptedOptions& script) {
    script.on_launch = [this](const BatchPlan&) {
      ++launched;
      return absl::OkStatus();
    };
    script.on_collect = [this](const BatchPlan&, std::span<const SampleSpec* const>, StepResult&) {
      ++collected;
    };
  }
};

TEST(Ahead, StopLeavesNoStepInFlight) {
  EngineKnobs knobs = AheadKnobs();
  knobs.kv_blocks = 6000;
  StepCount steps;
  steps.Count(knobs.script);
  TestEngine group(knobs);
  const auto answer = group.Start(EqualTokens(20, 90'000));
  answer->first_token.WaitForNotification();
  group.engine().Stop(absl::UnavailableError("the drain took too long"));
  EXPECT_EQ(answer->status().message(), "the drain took too long");
  EXPECT_GT(steps.launched, 0);
  EXPECT_EQ(steps.launched, steps.collected);
  group.StopAndAudit();
  EXPECT_TRUE(group.lost().ok());
}

TEST(Ahead, DrainFinishesWhatIsThere) {
  EngineKnobs knobs = AheadKnobs();
  StepCount steps;
  steps.Count(knobs.script);
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(20, 50);
  request.stop_ids = {group.Expected(request)[30]};
  const auto answer = group.Start(request);
  group.engine().StopAdmitting(absl::UnavailableError("draining"));
  EXPECT_TRUE(group.engine().AwaitIdle(absl::Seconds(30)));
  answer->done.WaitForNotification();
  group.ExpectWhole(request, *answer);
  group.StopAndAudit();
  EXPECT_EQ(steps.launched, steps.collected);
}

TEST(Ahead, AStepThatFailsLosesTheGroupWithTheOneBehindIt) {
  for (const bool at_collect : {false, true}) {
    EngineKnobs knobs = AheadKnobs();
    Notification both_are_there;
    knobs.script.on_launch = [&](const BatchPlan& plan) -> absl::Status {
      both_are_there.WaitForNotification();
      return plan.step < 5 || at_collect ? absl::OkStatus() : absl::UnavailableError("the device is gone");
    };
    knobs.script.on_collect = [&](const BatchPlan& plan, std::span<const SampleSpec* const>,
                                  StepResult& result) {
      if (plan.step == 5) result.tokens.clear();  // which is no answer
    };
    TestEngine group(knobs);
    const auto first = group.Start(EqualTokens(5, 100)), second = group.Start(EqualTokens(5, 100));
    both_are_there.Notify();
    first->done.WaitForNotification();
    second->done.WaitForNotification();
    EXPECT_EQ(first->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(second->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(group.SubmitRefused(EqualTokens(5, 1)).code(), absl::StatusCode::kUnavailable);
    group.StopAndAudit();
    EXPECT_FALSE(group.lost().ok());
  }
}

}  // namespace
}  // namespace quire::worker
