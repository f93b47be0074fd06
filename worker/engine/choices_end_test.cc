// Requests of several choices end as one request does, and give back what they held.
#include <gtest/gtest.h>

#include <algorithm>

#include "worker/engine/test_engine.h"

namespace quire::worker {
namespace {

// How many tokens are sampled for the requests of this seed.
int64_t CountOf(uint64_t seed, std::span<const SampleSpec* const> specs) {
  return std::ranges::count_if(specs, [seed](const SampleSpec* spec) { return spec->seed == seed; });
}

TEST(ChoicesEnd, ACancelEndsAllOfThem) {
  EngineKnobs knobs;
  knobs.limits.max_sequences = 4;  // the last two of the five wait
  knobs.limits.target_step_ms = 0;
  int64_t rows_after = 0;
  Notification all_there, held, cancelled;
  knobs.script.on_launch = [&](const BatchPlan&) {
    all_there.WaitForNotification();
    return absl::OkStatus();
  };
  knobs.script.on_collect = [&](const BatchPlan& plan, std::span<const SampleSpec* const> specs,
                                StepResult&) {
    if (plan.step == 5) {
      EXPECT_EQ(CountOf(1, specs), 3);
      held.Notify();
      cancelled.WaitForNotification();
    }
    if (plan.step > 5) rows_after += CountOf(1, specs);
  };
  TestEngine group(knobs);
  const GenerationRequest other = EqualTokens(5, 40);
  GenerationRequest request = EqualTokens(20, 900);
  request.seed = 1;
  request.choices = Choices({0, 1, 2, 3, 4});
  const auto other_answer = group.Start(other);
  auto answer = std::make_shared<RequestAnswer>(request);
  const auto ticket = group.Submit(request, answer);
  all_there.Notify();
  held.WaitForNotification();
  group.engine().Cancel(*ticket);
  cancelled.Notify();
  other_answer->done.WaitForNotification();
  group.ExpectWhole(other, *other_answer);
  group.StopAndAudit();
  EXPECT_EQ(rows_after, 0);
  EXPECT_FALSE(answer->end.has_value());
  EXPECT_EQ(group.Metric("quire_worker_cancels_total"), 1);
}

// Two of four, in one step; and what they computed is found by nobody.
TEST(ChoicesEnd, AFailedOneFailsItsRequestOnce) {
  EngineKnobs knobs;
  uint64_t failed_in = 0;
  int64_t rows_after = 0;
  knobs.script.on_collect = [&](const BatchPlan& plan, std::span<const SampleSpec* const> specs,
                                StepResult& result) {
    if (failed_in > 0) rows_after += CountOf(666, specs);
    for (size_t i = 0; i < specs.size(); ++i) {
      const bool fails = specs[i]->seed == 666 && specs[i]->choice % 2 == 1 && specs[i]->position == 3;
      result.tokens[i].failed = fails;
      if (fails) failed_in = plan.step;
    }
  };
  TestEngine group(knobs);
  GenerationRequest bad = EqualTokens(100, 30), good = EqualTokens(10, 60);
  bad.seed = 666;
  bad.choices = Choices({0, 1, 2, 3});
  const auto good_answer = group.Start(good);
  const auto bad_answer = group.RunToEnd(bad);
  EXPECT_EQ(bad_answer->status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad_answer->ids(1).size(), 3u);
  good_answer->done.WaitForNotification();
  group.ExpectWhole(good, *good_answer);
  bad.seed = 0;
  EXPECT_EQ(group.RunToEnd(bad)->cached_tokens, 0);
  group.StopAndAudit();
  EXPECT_GT(failed_in, 0u);
  EXPECT_EQ(rows_after, 0);
}

TEST(ChoicesEnd, StopEndsThemTogether) {
  EngineKnobs knobs;
  knobs.kv_blocks = 6000;
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(20, 90'000);
  request.choices = Choices({0, 1, 2});
  const auto answer = group.Start(request);
  answer->first_token.WaitForNotification();
  group.engine().Stop(absl::UnavailableError("the drain took too long"));
  EXPECT_EQ(answer->status().message(), "the drain took too long");
}

TEST(ChoicesEnd, TheOneThatCanNeverFitFailsTheRequest) {
  EngineKnobs knobs;
  knobs.kv_blocks = 4;
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(50, 100);
  request.choices = Choices({0, 1, 2});
  EXPECT_EQ(group.RunToEnd(request)->status().code(), absl::StatusCode::kInvalidArgument);
  request.max_tokens = 10;
  group.ExpectWhole(request, *group.RunToEnd(request));
  group.StopAndAudit();
}

TEST(ChoicesEnd, TopLogprobsComeWithTheirTokens) {
  TestEngine group{EngineKnobs()};
  GenerationRequest request = EqualTokens(20, 5);
  request.choices = Choices({0, 1});
  request.sampling.logprobs = true;
  request.sampling.top_logprobs = 3;
  const auto answer = group.RunToEnd(request);
  for (const auto& [index, choice] : answer->choices) {
    ASSERT_EQ(choice.ids.size(), 5u);
    ASSERT_EQ(choice.logprobs.size(), 5u);
    ASSERT_EQ(choice.top_logprobs.size(), 15u);
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(choice.top_logprobs[3 * i].id, choice.ids[i]);
  }
  group.StopAndAudit();
}

// A choice that ends leaves its place to another request, and the others of its own go on.
TEST(ChoicesEnd, APlaceIsGivenBackWhenItsChoiceEnds) {
  EngineKnobs knobs;
  knobs.limits.max_sequences = 3;
  knobs.waiting_room = 1;
  Notification held, go;
  knobs.script.on_launch = [&](const BatchPlan& plan) {
    if (plan.step == 2) {
      held.Notify();
      go.WaitForNotification();
    }
    return absl::OkStatus();
  };
  TestEngine group(knobs);
  GenerationRequest request = EqualTokens(5, 3);
  request.choices = {{0, {1, 2}}, {1}, {2}, {3}};  // the first needs one step
  const auto answer = group.Start(request);
  held.WaitForNotification();
  const auto next = group.Start(EqualTokens(5, 3));
  EXPECT_EQ(group.SubmitRefused(EqualTokens(5, 3)).code(), absl::StatusCode::kResourceExhausted);
  request.choices = Choices({0, 1, 2, 3, 4});
  const absl::Status never = group.SubmitRefused(request);
  EXPECT_EQ(never.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(never.message().find("5 choices and this group holds 4"), std::string::npos) << never;
  go.Notify();
  answer->done.WaitForNotification();
  next->done.WaitForNotification();
  EXPECT_TRUE(answer->status().ok() && next->status().ok());
  group.StopAndAudit();
}
}  // namespace
}  // namespace quire::worker
