// --target-step-ms: what the scheduler plans at given prices, and an engine whose steps take what a model of
// costs says, on a clock that the test moves.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "worker/engine/engine.h"
#include "worker/engine/testing/scripted_runner.h"

namespace quire::worker {
namespace {

constexpr StepPrices kPrices{.step_us = 8000, .decode_row_us = 900, .prompt_row_us = 700, .key_us = 0.5};

GenerationRequest Prompt(int64_t tokens, int64_t max_tokens, TokenId first) {
  GenerationRequest request;
  for (int64_t i = 0; i < tokens; ++i) request.prompt_ids.push_back(first + static_cast<TokenId>(i));
  request.max_tokens = max_tokens;
  return request;
}

// ---- plans, on numbers ----

// Streams that decode, and prompts beside them; the rows of each prompt in the next step, in order of coming.
class Plans {
 public:
  Plans(int64_t streams, std::vector<int64_t> prompts, SchedulerLimits limits = {})
      : cache_(8000), scheduler_(limits, &cache_) {
    for (int64_t i = 0; i < streams; ++i) Add(1);
    if (streams > 0) RunStep({});
    for (const int64_t tokens : prompts) prompts_.push_back(Add(tokens));
  }

  std::vector<int64_t> Next(const StepPrices& prices) {
    const Step step = RunStep(prices);
    std::vector<int64_t> rows;
    for (const Sequence* prompt : prompts_) {
      for (size_t i = 0; i < step.sequences.size(); ++i) {
        if (step.sequences[i] == prompt) rows.push_back(step.plan.sequences[i].rows);
      }
    }
    work_ = step.work;
    return rows;
  }

  const StepWork& work() const { return work_; }

 private:
  Sequence* Add(int64_t tokens) {
    const auto first = static_cast<TokenId>(100'000 * sequences_.size());
    sequences_.push_back(
        std::make_unique<Sequence>(sequences_.size(), Share(Prompt(tokens, 1000, first)), 1 << 20));
    scheduler_.Add(sequences_.back().get());
    return sequences_.back().get();
  }

  Step RunStep(const StepPrices& prices) {
    Step step = scheduler_.Schedule(prices);
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      step.sequences[i]->Advance(step.plan.sequences[i].rows, cache_);
      if (step.plan.sequences[i].wanted > 0) step.sequences[i]->Append(7);
    }
    return step;
  }

  PrefixCache cache_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  Scheduler scheduler_;
  std::vector<Sequence*> prompts_;
  StepWork work_;
};

TEST(StepTarget, APromptBesideStreamsTakesWhatTimeIsLeft) {
  Plans plans(8, {20'000});
  for (int step = 0; step < 60; ++step) {
    const int64_t rows = plans.Next(kPrices).at(0);
    EXPECT_LE(kPrices.TimeOf(plans.work()), 80'000) << step;
    StepWork more = plans.work();
    more.prompt_rows += 1;
    more.keys += more.keys;  // well above the next row's
    EXPECT_GT(kPrices.TimeOf(more), 80'000) << step;
    EXPECT_GT(rows, 16);
  }
}

TEST(StepTarget, AlonePromptsUseTheWholeChunkWhateverItCosts) {
  StepPrices dear = kPrices;
  dear.prompt_row_us = 1e6;
  dear.known_prompt_rows = 16;
  EXPECT_EQ(Plans(0, {5000}).Next(dear), std::vector<int64_t>{256});
  EXPECT_EQ(Plans(0, {5000, 5000, 100}).Next(dear), (std::vector<int64_t>{206, 206, 100}));
}

TEST(StepTarget, ZeroIsOff) {
  StepPrices dear = kPrices;
  dear.prompt_row_us = 1e6;
  dear.known_prompt_rows = 16;
  EXPECT_EQ(Plans(8, {5000}, {.target_step_ms = 0}).Next(dear), std::vector<int64_t>{256});
}

TEST(StepTarget, ABlockGoesOnWhereThereIsNoTime) {
  StepPrices dear = kPrices;
  dear.prompt_row_us = 1e6;
  EXPECT_EQ(Plans(8, {5000}).Next(dear), std::vector<int64_t>{16});
  EXPECT_EQ(Plans(8, {5000, 5000}).Next(dear), (std::vector<int64_t>{8, 8}));
  EXPECT_EQ(Plans(8, {5000, 5}).Next(dear), (std::vector<int64_t>{11, 5}));
  const std::vector<int64_t> each(20, 1);
  EXPECT_EQ(Plans(8, std::vector<int64_t>(20, 5000)).Next(dear), each);
}

TEST(StepTarget, PromptsShareTheTimeShortestRemainderFirst) {
  Plans plans(8, {3000, 20, 3000});
  const std::vector<int64_t> rows = plans.Next(kPrices);
  EXPECT_EQ(rows[1], 20);  // within its share: done
  EXPECT_GE(rows[0], 20);  // and the others have more of what it left
  EXPECT_NEAR(static_cast<double>(rows[0]), static_cast<double>(rows[2]), 1);
  EXPECT_LE(kPrices.TimeOf(plans.work()), 80'000);
}

TEST(StepTarget, BeyondWhatWasMeasuredNothingIsGuessed) {
  StepPrices prices = kPrices;
  prices.known_prompt_rows = 32;
  EXPECT_EQ(Plans(8, {3000}).Next(prices), std::vector<int64_t>{32});
  EXPECT_EQ(Plans(8, {3000, 3000}).Next(prices), (std::vector<int64_t>{16, 16}));
}

// Random prices, none and absurd ones among them, and any mix of prompts under any limits.
TEST(StepTarget, EveryPromptGoesOnInEveryStepAtAnyPrice) {
  std::mt19937 random(11);
  const auto price = [&] { return std::vector<double>{0, 1e-9, 5, 1e12}.at(random() % 4); };
  for (int trial = 0; trial < 300; ++trial) {
    const int64_t streams = 1 + static_cast<int64_t>(random() % 20);
    const int64_t waiting = 1 + static_cast<int64_t>(random() % 20);
    const SchedulerLimits limits{.max_batch_tokens = 64 + static_cast<int64_t>(random() % 300),
                                 .prefill_chunk = 1 + static_cast<int64_t>(random() % 300),
                                 .target_step_ms = 1 + static_cast<int64_t>(random() % 200)};
    std::vector<int64_t> left;
    for (int64_t i = 0; i < waiting; ++i) left.push_back(2 + static_cast<int64_t>(random() % 3000));
    Plans plans(streams, left, limits);
    for (int step = 0; step < 4; ++step) {
      const StepPrices prices{price(), price(), price(), price(),
                              kBlockTokens + static_cast<int64_t>(random() % 200)};
      const std::vector<int64_t> rows = plans.Next(prices);
      ASSERT_EQ(rows.size(), left.size());
      int64_t sum = 0, most = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        ASSERT_GE(rows[i], 1) << trial;
        if (left[i] == 0) continue;  // it decodes
        sum += rows[i];
        most += std::min(left[i], limits.prefill_chunk);
        left[i] -= rows[i];
      }
      const StepWork& work = plans.work();
      EXPECT_GE(sum, std::min({int64_t{kBlockTokens}, most, limits.max_batch_tokens - work.decode_rows}))
          << trial;
      EXPECT_LE(work.decode_rows + work.prompt_rows, limits.max_batch_tokens) << trial;
    }
  }
}

TEST(StepTarget, LimitsRefuseANegativeOne) {
  EXPECT_FALSE((SchedulerLimits{.target_step_ms = -1}).Check().ok());
}

// ---- the engine ----

struct Measured {
  StepWork work;
  int64_t us = 0;
};

StepWork WorkOf(const BatchPlan& plan) {
  StepWork work;
  for (const SequencePlan& sequence : plan.sequences) {
    const int64_t rows = sequence.rows;
    const bool decodes = rows == 1 && sequence.wanted > 0;
    (decodes ? work.decode_rows : work.prompt_rows) += rows;
    work.keys += KeysOf(sequence.position, rows);
  }
  return work;
}

using Cost = std::function<double(size_t step, const StepWork& work)>;

// Each reading comes some time after the one before: the engine reads before and after each step, and what
// passes from a step's end to the next one's begin is the host's.
class LateClock final : public Clock {
 public:
  explicit LateClock(int64_t late_us) : late_us_(late_us) {}
  int64_t NowUs() const override {
    manual_.AdvanceUs(late_us_);
    return manual_.NowUs();
  }
  int64_t UnixMs() const override { return manual_.UnixMs(); }
  void AdvanceUs(int64_t us) { manual_.AdvanceUs(us); }

 private:
  const int64_t late_us_;
  mutable ManualClock manual_;
};

// Runs eight streams and six prompts of 2,000 tokens to their ends: a lone token is step 0, and then all are
// there. Step n takes `cost(n, work)`, and the host `host_us` in it and as much behind it. Gives the steps,
// and in `text` the metrics.
std::vector<Measured> RunLoad(SchedulerLimits limits, const Cost& cost, std::string* text = nullptr,
                              int64_t host_us = 0) {
  LateClock clock(host_us);
  Metrics metrics;
  Notification begun, all_there;
  std::vector<Measured> steps;
  ScriptedOptions script;
  script.kv_blocks = 2000;
  script.on_launch = [&](const BatchPlan& plan) {
    if (steps.empty()) begun.Notify();
    all_there.WaitForNotification();
    const StepWork work = WorkOf(plan);
    steps.push_back({work, std::llround(cost(steps.size(), work))});
    clock.AdvanceUs(steps.back().us);
    return absl::OkStatus();
  };
  ScriptedRunner runner(script);
  EngineOptions options{.limits = limits, .kv_blocks = script.kv_blocks};
  options.plain_context = options.scaled_context = 100'000;
  Engine engine(
      options, &runner, &metrics, &clock, [](const std::vector<Update>&) {}, [](const absl::Status&) {});
  const auto submit = [&](GenerationRequest request) {
    EXPECT_TRUE(engine.Submit(Share(std::move(request)), ReplyTo{}).ok());
  };
  submit(Prompt(1, 1, 0));
  begun.WaitForNotification();
  for (int i = 1; i <= 8; ++i) submit(Prompt(10, 700, 10'000 * i));
  for (int i = 9; i <= 14; ++i) submit(Prompt(2000, 1, 10'000 * i));
  all_there.Notify();
  EXPECT_TRUE(engine.AwaitIdle(absl::Seconds(60)));
  engine.Stop(absl::UnavailableError("the test is over"));
  if (text != nullptr) *text = metrics.Text();
  return steps;
}

bool IsMixed(const Measured& step) { return step.work.decode_rows > 0 && step.work.prompt_rows > 0; }

// The mixed steps from number `first` of them on.
std::vector<Measured> MixedSteps(const std::vector<Measured>& steps, size_t first = 0) {
  std::vector<Measured> mixed;
  for (const Measured& step : steps) {
    if (IsMixed(step)) mixed.push_back(step);
  }
  mixed.erase(mixed.begin(), mixed.begin() + static_cast<ptrdiff_t>(std::min(first, mixed.size())));
  return mixed;
}

TEST(StepTargetEngine, StepsBesideStreamsEndInTime) {
  const auto cost = [](size_t, const StepWork& work) { return kPrices.TimeOf(work); };
  const std::vector<Measured> mixed = MixedSteps(RunLoad({}, cost));
  ASSERT_GT(mixed.size(), 100u);
  for (size_t i = 0; i < mixed.size(); ++i) {
    EXPECT_LE(mixed[i].us, 80'000) << i;
    EXPECT_GE(mixed[i].work.prompt_rows, 10) << i;  // the last rows of a prompt are fewer than a block
  }
  // And the time is used.
  int64_t rows = 0;
  for (const Measured& step : mixed) rows += step.work.prompt_rows;
  EXPECT_GT(rows, 11'000);
  EXPECT_LT(mixed.size(), 250u);
  // Off: what the option is for.
  const std::vector<Measured> off = MixedSteps(RunLoad({.target_step_ms = 0}, cost));
  EXPECT_GT(std::ranges::max(off, {}, &Measured::us).us, 250'000);
}

// The target is of what streams wait for, whoever takes the time.
TEST(StepTargetEngine, HostWorkCounts) {
  constexpr int64_t kHostUs = 10'000;
  std::string metrics;
  const auto cost = [](size_t, const StepWork& work) { return kPrices.TimeOf(work); };
  const std::vector<Measured> mixed = MixedSteps(RunLoad({}, cost, &metrics, kHostUs));
  ASSERT_GT(mixed.size(), 100u);
  for (size_t i = 0; i < mixed.size(); ++i) EXPECT_LE(mixed[i].us + 2 * kHostUs, 80'000) << i;
  EXPECT_NE(metrics.find("\nquire_worker_steps_over_target_total 0\n"), std::string::npos) << metrics;
}

TEST(StepTargetEngine, AfterACostHasChangedToo) {
  for (const double factor : {2.0, 0.4}) {
    const auto cost = [factor](size_t step, const StepWork& work) {
      StepPrices prices = kPrices;
      if (step >= 40) prices.prompt_row_us *= factor;
      if (step >= 40) prices.key_us *= factor;
      return prices.TimeOf(work);
    };
    const std::vector<Measured> steps = RunLoad({}, cost);
    for (size_t i = 0; i < steps.size(); ++i) {
      const bool tells_of_it = i >= 40 && i < 46;
      if (!IsMixed(steps[i]) || tells_of_it) continue;
      EXPECT_LE(steps[i].us, 84'000) << i << " " << factor;
    }
    const int64_t rows = MixedSteps(steps, 60).front().work.prompt_rows;
    EXPECT_GT(rows, factor > 1 ? 20 : 80) << factor;
  }
}

TEST(StepTargetEngine, APauseCostsPromptsNothing) {
  const auto cost = [](size_t step, const StepWork& work) { return step == 50 ? 6e6 : kPrices.TimeOf(work); };
  const std::vector<Measured> steps = RunLoad({}, cost);
  ASSERT_TRUE(IsMixed(steps[50]));
  for (size_t i = 51; i < 60; ++i) {
    EXPECT_LE(steps[i].us, 80'000);
    EXPECT_GT(steps[i].work.prompt_rows, 0.9 * static_cast<double>(steps[49].work.prompt_rows));
  }
}

TEST(StepTargetEngine, OnANoisyMachineNineStepsOfTenEndInTime) {
  std::mt19937 random(1);
  const auto cost = [&](size_t, const StepWork& work) {
    return kPrices.TimeOf(work) * (0.8 + 0.4 * static_cast<double>(random() % 1000) / 1000);
  };
  const std::vector<Measured> mixed = MixedSteps(RunLoad({}, cost), 10);
  const auto late = std::ranges::count_if(mixed, [](const Measured& step) { return step.us > 80'000; });
  EXPECT_LT(static_cast<double>(late), 0.15 * static_cast<double>(mixed.size()));
  EXPECT_LT(std::ranges::max(mixed, {}, &Measured::us).us, 110'000);
}

TEST(StepTarget, StreamsThatMissTheTargetAloneWaitHalfAsMuchAgain) {
  StepPrices large = kPrices;
  large.step_us = 1e5;
  Plans plans(8, {20'000});
  const int64_t rows = plans.Next(large).at(0);
  const double alone_us = large.TimeOf({.decode_rows = 8, .keys = plans.work().keys - KeysOf(0, rows)});
  EXPECT_LE(large.TimeOf(plans.work()), 1.5 * alone_us);
  EXPECT_GT(large.TimeOf(plans.work()), 1.45 * alone_us);
}

// A model whose decode step alone takes longer than the target.
TEST(StepTargetEngine, AModelTooLargeForTheTargetStillReadsPromptsAndItShows) {
  StepPrices large{.step_us = 300'000, .decode_row_us = 5000, .prompt_row_us = 4000, .key_us = 1};
  std::string metrics;
  const std::vector<Measured> mixed = MixedSteps(RunLoad(
      {}, [&](size_t, const StepWork& work) { return large.TimeOf(work); }, &metrics));
  ASSERT_GT(mixed.size(), 100u);
  for (size_t i = 6; i < 100; ++i) {  // the first ones are a measure
    EXPECT_GE(mixed[i].work.prompt_rows, 30) << i;
    EXPECT_LE(mixed[i].us, 1.6 * large.TimeOf({.decode_rows = mixed[i].work.decode_rows})) << i;
  }
  for (const char* counter : {"mixed_steps", "steps_over_target"}) {
    const std::string line = absl::StrCat("\nquire_worker_", counter, "_total ", mixed.size(), "\n");
    EXPECT_NE(metrics.find(line), std::string::npos) << line;
  }
}

// Not before the first step, nor before the second: the lone token had ended, and nothing was there.
TEST(HostTime, IsThatBetweenStepsWhileThereIsWork) {
  std::string text;
  const size_t steps = RunLoad(
                           {}, [](size_t, const StepWork&) { return 1000.0; }, &text)
                           .size();
  const std::string count = absl::StrCat("\nquire_worker_host_seconds_count ", steps - 2, "\n");
  EXPECT_NE(text.find(count), std::string::npos) << text;
}

TEST(HostTime, SleepIsNone) {
  ManualClock clock;
  Metrics metrics;
  ScriptedOptions script;
  script.kv_blocks = 10;
  ScriptedRunner runner(script);
  EngineOptions options{.limits = {}, .kv_blocks = script.kv_blocks};
  options.plain_context = options.scaled_context = 100;
  Engine engine(
      options, &runner, &metrics, &clock, [](const std::vector<Update>&) {}, [](const absl::Status&) {});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(engine.Submit(Share(Prompt(1, 1, 0)), ReplyTo{}).ok());
    ASSERT_TRUE(engine.AwaitIdle(absl::Seconds(60)));
    clock.AdvanceUs(1'000'000);
  }
  engine.Stop(absl::UnavailableError("the test is over"));
  EXPECT_NE(metrics.Text().find("\nquire_worker_host_seconds_sum 0\n"), std::string::npos) << metrics.Text();
}

}  // namespace
}  // namespace quire::worker
