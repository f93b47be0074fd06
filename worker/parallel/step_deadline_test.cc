// Machines whose steps take what a cost model says, slow and fast ones, with noise: none is ever flagged, and
// a rank that never arrives always is.
#include "worker/parallel/step_deadline.h"

#include <gtest/gtest.h>

#include <random>

namespace quire::worker {
namespace {

constexpr int64_t kUsPerSecond = 1'000'000;

// A step reads all weights once, then computes rows and their attention.
struct Machine {
  double read_us, row_us, row_context_us;
  int64_t StepUs(const StepShape& shape) const {
    const auto rows = static_cast<double>(shape.tokens);
    return static_cast<int64_t>(read_us +
                                rows * (row_us + row_context_us * static_cast<double>(shape.context)));
  }
};

// A prompt in chunks and its answer, with other requests beside: as engines see them.
std::vector<StepShape> Day(int seed) {
  std::mt19937 random(seed);
  std::vector<StepShape> steps;
  for (int request = 0; request < 20; ++request) {
    const int64_t prompt = int64_t{1} << random() % 17;
    for (int64_t at = 0; at < prompt; at += 256) {
      const int64_t rows = std::min<int64_t>(256, prompt - at);
      steps.push_back({.prefill = rows > 1, .tokens = rows, .context = at + rows});
    }
    const int64_t others = 1 + random() % 64;
    for (int64_t i = 0; i < 300; ++i) {
      steps.push_back({.prefill = false, .tokens = others, .context = prompt + i});
    }
  }
  return steps;
}

TEST(StepDeadline, NeverFlagsAHealthyGroupHoweverSlow) {
  for (double slowness : {1.0, 100.0, 10'000.0}) {
    for (int seed = 0; seed < 20; ++seed) {
      const Machine machine{500 * slowness, 100 * slowness, 0.05 * slowness};
      // What the weights of such a machine weigh: the slowest that the first guess allows for is 4000
      // bytes/us.
      StepDeadline deadline({.weight_bytes = static_cast<int64_t>(400'000 * slowness)});
      std::mt19937 random(seed);
      for (const StepShape& shape : Day(seed)) {
        // Mostly as the model says, now and then up to five times as long: other programs run too.
        const int64_t noise = random() % 50 == 0 ? 1 + static_cast<int64_t>(random() % 5) : 1;
        const int64_t took_us = machine.StepUs(shape) * noise;
        ASSERT_LE(took_us, deadline.LimitUs(shape))
            << "slowness " << slowness << ", " << shape.tokens << " rows at " << shape.context;
        deadline.Observe(shape, took_us);
      }
    }
  }
}

TEST(StepDeadline, AKnownKindHasALimitNearWhatItTakes) {
  StepDeadline deadline({.floor_us = 1000, .factor = 20, .weight_bytes = 1 << 20});
  const StepShape shape{.prefill = false, .tokens = 8, .context = 1000};
  for (int i = 0; i < 100; ++i) deadline.Observe(shape, 30'000);
  EXPECT_EQ(deadline.LimitUs(shape), 600'000);
  EXPECT_LE(deadline.LimitUs({.prefill = false, .tokens = 15, .context = 600}), 1'200'000);
}

TEST(StepDeadline, ASlowGroupGetsMoreThanTheFloor) {
  StepDeadline deadline;
  const StepShape shape{.prefill = true, .tokens = 512, .context = 30'000};
  EXPECT_EQ(deadline.LimitUs(shape), 10 * kUsPerSecond);  // nothing known, no weights: the floor
  for (int i = 0; i < 3; ++i) deadline.Observe(shape, 60 * kUsPerSecond);
  EXPECT_GE(deadline.LimitUs(shape), 1200 * kUsPerSecond);
}

TEST(StepDeadline, TheFirstStepIsJudgedByItsSize) {
  const StepDeadline small({.weight_bytes = int64_t{135'000'000}}),
      large({.weight_bytes = int64_t{32'000'000'000}});
  const StepShape decode{.prefill = false, .tokens = 1, .context = 10};
  const StepShape prefill{.prefill = true, .tokens = 512, .context = 512};
  EXPECT_LE(small.LimitUs(prefill), 60 * kUsPerSecond);
  EXPECT_GE(large.LimitUs(decode), 300 * kUsPerSecond);
  EXPECT_GE(large.LimitUs(prefill), 3600 * kUsPerSecond);
}

// However large the model is: the limit follows from what its steps took.
TEST(StepDeadline, AHungRankOfALargeModelIsFoundSoon) {
  int64_t now_us = 0;
  StepDeadline deadline({.weight_bytes = int64_t{65'000'000'000}, .now_us = [&] { return now_us; }});
  const StepShape prefill{.prefill = true, .tokens = 512, .context = 512};
  const StepShape decode{.prefill = false, .tokens = 1, .context = 513};
  EXPECT_GE(deadline.LimitUs(prefill), 650 * kUsPerSecond);
  deadline.Observe(prefill, 20 * kUsPerSecond);
  for (int i = 0; i < 3; ++i) deadline.Observe(decode, 500'000);
  EXPECT_EQ(deadline.LimitUs(decode), 10 * kUsPerSecond);
  for (int i = 0; i < 100; ++i) deadline.Observe(decode, 2 * kUsPerSecond);
  EXPECT_NEAR(static_cast<double>(deadline.LimitUs(decode)), 40e6, 1e6);
}

// An idle group's weights may go to disk, the longer the more; the next step reads all of them again, however
// fast steps were.
TEST(StepDeadline, SwappedOutWeightsHaveTimeToComeBack) {
  int64_t now_us = 0;
  StepDeadline deadline({.weight_bytes = int64_t{32'000'000'000}, .now_us = [&] { return now_us; }});
  const StepShape decode{.prefill = false, .tokens = 1, .context = 10};
  for (int i = 0; i < 100; ++i) deadline.Observe(decode, 100'000);
  EXPECT_EQ(deadline.LimitUs(decode), 10 * kUsPerSecond);
  now_us += 10 * kUsPerSecond;
  EXPECT_EQ(deadline.LimitUs(decode), 50 * kUsPerSecond);
  now_us += 3600 * kUsPerSecond;
  EXPECT_EQ(deadline.LimitUs(decode), 330 * kUsPerSecond);
  deadline.Observe(decode, 200 * kUsPerSecond);
  EXPECT_LE(deadline.LimitUs(decode), 20 * kUsPerSecond) << "they are back, and the outlier was bounded";
}

TEST(StepDeadline, OneOutlierIsForgotten) {
  StepDeadline deadline({.floor_us = 1000});
  const StepShape shape{.prefill = false, .tokens = 1, .context = 100};
  for (int i = 0; i < 10; ++i) deadline.Observe(shape, 10'000);
  const int64_t before_us = deadline.LimitUs(shape);
  deadline.Observe(shape, 100 * kUsPerSecond);
  EXPECT_LE(deadline.LimitUs(shape), 3 * before_us);
  for (int i = 0; i < 200; ++i) deadline.Observe(shape, 10'000);
  EXPECT_LE(deadline.LimitUs(shape), before_us + before_us / 50);
}

TEST(LoadLimit, IsForWhoReadsFromANetworkWhereThisRankHadItInMemory) {
  constexpr int64_t kGigabyte = 1'000'000'000;
  EXPECT_GT(LoadLimitUs(/*load_us=*/2 * kUsPerSecond, 16 * kGigabyte), 107 * kUsPerSecond);  // 150 MB/s
  EXPECT_GT(LoadLimitUs(2 * kUsPerSecond, 16 * kGigabyte), 1600 * kUsPerSecond);
  EXPECT_GE(LoadLimitUs(300 * kUsPerSecond, kGigabyte),
            3000 * kUsPerSecond);  // nor is that a slow one's patience
  EXPECT_GE(LoadLimitUs(0, 0), 60 * kUsPerSecond);
}

TEST(StepDeadline, ShapesComeFromPlans) {
  BatchPlan plan;
  plan.sequences.push_back({.position = 100});
  plan.sequences.push_back({.position = 30});
  StepShape shape = ShapeOf(plan);
  EXPECT_FALSE(shape.prefill);
  EXPECT_EQ(shape.tokens, 2);
  EXPECT_EQ(shape.context, 101);
  plan.sequences.push_back({.position = 200, .rows = 3});
  shape = ShapeOf(plan);
  EXPECT_TRUE(shape.prefill);
  EXPECT_EQ(shape.tokens, 5);
  EXPECT_EQ(shape.context, 203);
}

}  // namespace
}  // namespace quire::worker
