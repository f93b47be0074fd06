#include "worker/engine/engine.h"

#include <gtest/gtest.h>

#include <random>

#include "worker/engine/test_engine.h"

namespace quire::worker {
namespace {

GenerationRequest RandomRequest(std::mt19937& random) {
  GenerationRequest request;
  const int64_t prompt = 1 + random() % 100;
  // Few different beginnings, so that the prefix cache has work.
  const TokenId family = static_cast<TokenId>(random() % 3);
  for (int64_t i = 0; i < prompt; ++i)
    request.prompt_ids.push_back(i < 40 ? family : static_cast<TokenId>(random() % 900));
  request.max_tokens = 1 + random() % 40;
  request.seed = random();
  request.stop_ids = {7};
  request.min_tokens = random() % 5;
  if (random() % 3 == 0) request.sampling.frequency_penalty = 1;
  request.cache_salt = random() % 2 == 0 ? "a" : "b";
  if (random() % 4 == 0) request.scoring = {.top_logprobs = static_cast<int32_t>(random() % 3)};
  return request;
}

// Thirty-two requests at once get what each would get alone, whatever the chunk and however few the blocks.
void ExpectSameness(EngineKnobs knobs, uint32_t seed) {
  knobs.script.stop_every = 30;
  knobs.script.stop_id = 7;
  // The first step waits until all are there: on a busy machine each would else be done before the next one
  // comes.
  auto all_there = std::make_shared<Notification>();
  knobs.script.on_launch = [all_there](const BatchPlan&) {
    all_there->WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  std::mt19937 random(seed);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 32; ++i) requests.push_back(RandomRequest(random));
  for (int round = 0; round < 2; ++round) {  // the second one finds prefixes in the cache
    std::vector<std::shared_ptr<RequestAnswer>> answers;
    for (const GenerationRequest& request : requests) answers.push_back(group.Start(request));
    if (round == 0) all_there->Notify();
    for (size_t i = 0; i < requests.size(); ++i) {
      answers[i]->done.WaitForNotification();
      SCOPED_TRACE(testing::Message() << "request " << i << " of seed " << seed);
      group.ExpectWhole(requests[i], *answers[i]);
    }
  }
  group.StopAndAudit();
  EXPECT_GE(group.Metric("quire_worker_batch_sequences_max"), knobs.kv_blocks > 100 ? 16 : 2);
  EXPECT_TRUE(knobs.kv_blocks > 100 || group.Metric("quire_worker_preemptions_total") > 0);
  EXPECT_GT(group.Metric("quire_worker_prefix_cache_hit_tokens_total"), 0);
}

// Without headroom, so that sequences are preempted.
TEST(Engine, SamenessAtEveryChunkAndUnderPreemption) {
  for (const int64_t chunk : {1, 16, 512}) {
    for (const int32_t blocks : {400, 24}) {
      SCOPED_TRACE(testing::Message() << "chunk " << chunk << ", blocks " << blocks);
      const SchedulerLimits limits = {
          .max_batch_tokens = 512, .prefill_chunk = chunk, .max_sequences = 32, .headroom_tokens = 0};
      for (uint32_t seed = 1; seed <= 5; ++seed) ExpectSameness({limits, blocks, 64, {}}, seed);
    }
  }
}

TEST(Engine, CachedPrefixIsReportedAndChangesNothing) {
  TestEngine group{EngineKnobs()};
  const GenerationRequest request = EqualTokens(40, 10);
  const auto first = group.RunToEnd(request);
  const auto second = group.RunToEnd(request);
  EXPECT_EQ(first->cached_tokens, 0);
  EXPECT_EQ(second->cached_tokens, 32);
  EXPECT_EQ(first->ids(), second->ids());
  group.StopAndAudit();
}

TEST(Engine, ResumedRequestContinuesTheUndisturbedRun) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 30);
  const std::vector<TokenId> whole = group.RunToEnd(request)->ids();
  ASSERT_EQ(whole.size(), 30u);
  request.choices[0].resumed_ids.assign(whole.begin(), whole.begin() + 13);
  const auto resumed = group.RunToEnd(request);
  EXPECT_EQ(resumed->ids(), std::vector<TokenId>(whole.begin() + 13, whole.end()));
  EXPECT_EQ(resumed->choices.at(0).next_position, 30);
  EXPECT_EQ(resumed->cached_tokens, 20);  // never more than the prompt
  group.StopAndAudit();
}

TEST(Engine, ResumedRequestThatIsCompleteEndsAtOnce) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 2);
  request.choices[0].resumed_ids = {1, 2};
  const auto answer = group.RunToEnd(request);
  EXPECT_TRUE(answer->ids().empty());
  EXPECT_EQ(answer->finished(), FinishCause::kLength);
  EXPECT_TRUE(answer->cached_tokens.has_value());
  group.StopAndAudit();
}

TEST(Engine, RefusesAtTheBoundAndTakesAgainLater) {
  Notification go;
  EngineKnobs knobs;
  knobs.limits.max_sequences = 1;
  knobs.waiting_room = 2;
  knobs.script.on_launch = [&](const BatchPlan&) {
    go.WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(group.Start(EqualTokens(5, 3)));
  EXPECT_EQ(group.SubmitRefused(EqualTokens(5, 3)).code(), absl::StatusCode::kResourceExhausted);
  go.Notify();
  for (auto& answer : answers) answer->done.WaitForNotification();
  EXPECT_TRUE(group.engine().AwaitIdle(absl::Seconds(30)));
  EXPECT_EQ(group.RunToEnd(EqualTokens(5, 3))->ids().size(), 3u);
  group.StopAndAudit();
}

TEST(Engine, CancelledRunningAndWaitingRequestsStopAndFreeTheirBlocks) {
  Notification cancelled;
  EngineKnobs knobs;
  knobs.limits.max_sequences = 1;
  knobs.script.on_launch = [&](const BatchPlan& plan) {
    if (plan.step == 3) cancelled.WaitForNotification();
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  const GenerationRequest request = EqualTokens(5, 900);
  auto running = std::make_shared<RequestAnswer>(request), waiting = std::make_shared<RequestAnswer>(request);
  const auto running_ticket = group.Submit(request, running);
  const auto waiting_ticket = group.Submit(request, waiting);
  running->first_token.WaitForNotification();
  group.engine().Cancel(*waiting_ticket);
  group.engine().Cancel(*running_ticket);
  group.engine().Cancel(*running_ticket);  // twice is once
  cancelled.Notify();
  group.StopAndAudit();
  EXPECT_FALSE(running->end.has_value() || waiting->end.has_value());
  EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 2);
  EXPECT_LE(running->ids().size(), 3u);
  EXPECT_TRUE(waiting->ids().empty());
}

TEST(Engine, RandomCancelsLeakNothing) {
  EngineKnobs knobs;
  knobs.kv_blocks = 24;
  TestEngine group(knobs);
  std::mt19937 random(1);
  std::vector<uint64_t> tickets;
  for (int i = 0; i < 500; ++i) {
    const GenerationRequest request = RandomRequest(random);
    const auto ticket = group.Submit(request, std::make_shared<RequestAnswer>(request));
    if (ticket.ok()) tickets.push_back(*ticket);
    if (random() % 2 == 0 && !tickets.empty()) group.engine().Cancel(tickets[random() % tickets.size()]);
  }
  for (const uint64_t ticket : tickets) group.engine().Cancel(ticket);
  group.StopAndAudit();
}

TEST(Engine, FailedRowFailsItsRequestOnly) {
  EngineKnobs knobs;
  knobs.script.on_collect = [](const BatchPlan&, std::span<const SampleSpec* const> specs,
                               StepResult& result) {
    for (size_t i = 0; i < specs.size(); ++i) {
      result.tokens[i].failed = specs[i]->seed == 666 && specs[i]->position == 3;
    }
  };
  TestEngine group(knobs);
  GenerationRequest bad = EqualTokens(20, 30);
  bad.seed = 666;
  const auto good_answer = group.Start(EqualTokens(20, 30));
  const auto bad_answer = group.Start(bad);
  good_answer->done.WaitForNotification();
  bad_answer->done.WaitForNotification();
  EXPECT_EQ(good_answer->ids(), group.Expected(EqualTokens(20, 30)));
  EXPECT_EQ(bad_answer->status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad_answer->ids().size(), 3u);
  group.StopAndAudit();
}

// Its blocks hold what made the row fail, and were named in the steps before.
TEST(Engine, AFailedRowsBlocksAreFoundByNobody) {
  EngineKnobs knobs;
  knobs.script.on_collect = [](const BatchPlan&, std::span<const SampleSpec* const> specs,
                               StepResult& result) {
    for (size_t i = 0; i < specs.size(); ++i) result.tokens[i].failed = specs[i]->seed == 666;
  };
  TestEngine group(knobs);
  GenerationRequest bad = EqualTokens(100, 3);
  bad.seed = 666;
  const auto bad_answer = group.Start(bad);
  bad_answer->done.WaitForNotification();
  EXPECT_EQ(bad_answer->status().code(), absl::StatusCode::kInternal);
  const auto again = group.Start(EqualTokens(100, 3));
  again->done.WaitForNotification();
  EXPECT_EQ(again->ids(), group.Expected(EqualTokens(100, 3)));
  EXPECT_EQ(again->cached_tokens, 0);
  group.StopAndAudit();
}

TEST(Engine, LostGroupFailsEverybodyAndAdmitsNobody) {
  EngineKnobs knobs;
  Notification both_are_there;
  knobs.script.on_launch = [&](const BatchPlan& plan) -> absl::Status {
    if (plan.step < 5) return absl::OkStatus();
    both_are_there.WaitForNotification();
    return absl::UnavailableError("rank 1 is silent");
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
  EXPECT_EQ(group.lost().message(), "rank 1 is silent");
}

TEST(Engine, DrainFinishesWhatIsThereAndRefusesTheRest) {
  TestEngine group{EngineKnobs()};
  const auto answer = group.Start(EqualTokens(20, 50));
  group.engine().StopAdmitting(absl::UnavailableError("draining"));
  EXPECT_EQ(group.SubmitRefused(EqualTokens(5, 1)).message(), "draining");
  EXPECT_TRUE(group.engine().AwaitIdle(absl::Seconds(30)));
  answer->done.WaitForNotification();
  EXPECT_EQ(answer->ids().size(), 50u);
  group.StopAndAudit();
}

TEST(Engine, StopFailsWhatIsLeft) {
  EngineKnobs knobs;
  knobs.kv_blocks = 6000;
  TestEngine group(knobs);
  const auto answer = group.Start(EqualTokens(20, 90'000));  // more than a scripted runner makes in a minute
  answer->first_token.WaitForNotification();
  group.engine().Stop(absl::UnavailableError("the drain took too long"));
  EXPECT_EQ(answer->status().message(), "the drain took too long");
}

TEST(Engine, WhatAStepBroughtToAllIsHandedOverAtOnce) {
  EngineKnobs knobs;
  knobs.limits.target_step_ms = 0;  // all prompts go in one step, also beside the first one's decode
  Notification all_there;
  HoldLaunches(knobs, all_there);
  TestEngine group(knobs);
  std::vector<std::shared_ptr<RequestAnswer>> answers;
  for (int i = 0; i < 16; ++i) answers.push_back(group.Start(EqualTokens(5, 10)));
  all_there.Notify();
  for (const auto& answer : answers) answer->done.WaitForNotification();
  group.StopAndAudit();
  EXPECT_EQ(group.batches(), group.Metric("quire_worker_steps_total"));
  EXPECT_LE(group.batches(), 11);  // the first step may have begun with some of them only
}

TEST(Engine, RequestThatCanNeverFitFailsAlone) {
  EngineKnobs knobs;
  knobs.kv_blocks = 4;
  TestEngine group(knobs);
  const auto answer = group.RunToEnd(EqualTokens(50, 100));
  EXPECT_EQ(answer->status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group.RunToEnd(EqualTokens(50, 10))->ids().size(), 10u);
  group.StopAndAudit();
}

}  // namespace
}  // namespace quire::worker
