#include "worker/engine/step_costs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace quire::worker {
namespace {

constexpr StepPrices kSmall{.step_us = 8000, .decode_row_us = 900, .prompt_row_us = 700, .key_us = 0.5};
constexpr StepPrices kLarge{
    .step_us = 2'000'000, .decode_row_us = 9000, .prompt_row_us = 6500, .key_us = 1.5};

StepPrices Scaled(const StepPrices& prices, double by) {
  return {prices.step_us * by, prices.decode_row_us * by, prices.prompt_row_us * by, prices.key_us * by};
}

StepWork Decodes(int64_t rows, int64_t position) { return {rows, 0, rows * position}; }

StepWork Mixed(int64_t decodes, int64_t decodes_at, int64_t rows, int64_t position) {
  return {decodes, rows, decodes * decodes_at + KeysOf(position, rows)};
}

void Observe(StepCosts& costs, const StepPrices& truth, const StepWork& work) {
  costs.Observe(work, std::llround(truth.TimeOf(work)));
}

// Some minutes of a server: a prompt, then streams, among which prompts come.
void Live(StepCosts& costs, const StepPrices& truth) {
  for (int64_t at = 0; at < 2048; at += 256) Observe(costs, truth, {0, 256, KeysOf(at, 256)});
  for (int64_t i = 0; i < 100; ++i) Observe(costs, truth, Decodes(1 + i / 15, 500 + i));
  for (int64_t at = 0; at < 2000; at += 50) Observe(costs, truth, Mixed(8, 600, 50, at));
  for (int64_t i = 0; i < 100; ++i) Observe(costs, truth, Decodes(8, 700 + i));
}

// What it says of `work` in units of the truth.
double Ratio(const StepCosts& costs, const StepPrices& truth, const StepWork& work) {
  return costs.prices().TimeOf(work) / truth.TimeOf(work);
}

TEST(StepPrices, RowsWithinATimeAreTheMostThatFit) {
  for (const StepPrices& prices :
       {kSmall, Scaled(kSmall, 40), StepPrices{.prompt_row_us = 3}, StepPrices{.key_us = 0.01}}) {
    for (const int64_t position : {0, 1, 500, 100'000}) {
      for (const double us : {1.0, 700.0, 66'000.0, 1e7}) {
        const int64_t rows = prices.PromptRowsWithin(us, position);
        const auto time = [&](int64_t n) {
          return prices.TimeOf({0, n, KeysOf(position, n)}) - prices.step_us;
        };
        EXPECT_LE(time(rows), us * (1 + 1e-9)) << position << " " << us;
        EXPECT_GT(time(rows + 1), us * (1 - 1e-9)) << position << " " << us;
      }
    }
  }
}

TEST(StepPrices, NothingKnownLimitsNothingAndNoTimeIsNone) {
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(StepPrices().PromptRowsWithin(1, 1000), kAll);
  EXPECT_EQ(kSmall.PromptRowsWithin(std::numeric_limits<double>::infinity(), 1000), kAll);
  EXPECT_EQ(StepPrices{.prompt_row_us = 3}.PromptRowsWithin(std::numeric_limits<double>::infinity(), 0),
            kAll);
  EXPECT_EQ(kSmall.PromptRowsWithin(0, 0), 0);
  EXPECT_EQ(kSmall.PromptRowsWithin(-5, 0), 0);
}

TEST(StepCosts, BeginWithOneBlockAndAtMostDouble) {
  StepCosts costs;
  EXPECT_EQ(costs.prices().known_prompt_rows, 16);
  Observe(costs, kSmall, Mixed(4, 100, 16, 0));
  EXPECT_EQ(costs.prices().known_prompt_rows, 32);
  Observe(costs, kSmall, Mixed(4, 100, 3, 16));
  EXPECT_EQ(costs.prices().known_prompt_rows, 32);
}

TEST(StepCosts, LearnsASmallModelAndALargeOne) {
  for (const StepPrices& truth : {kSmall, kLarge}) {
    StepCosts costs;
    Live(costs, truth);
    EXPECT_NEAR(Ratio(costs, truth, Decodes(8, 800)), 1, 0.03);
    EXPECT_NEAR(Ratio(costs, truth, Mixed(8, 800, 64, 0)), 1, 0.1);
    EXPECT_NEAR(Ratio(costs, truth, Mixed(8, 800, 64, 2000)), 1, 0.1);
    EXPECT_NEAR(Ratio(costs, truth, {0, 256, KeysOf(4000, 256)}), 1, 0.2);
  }
}

TEST(StepCosts, EqualCallsGiveEqualPrices) {
  StepCosts first, second;
  Live(first, kSmall);
  Live(second, kSmall);
  const StepPrices a = first.prices(), b = second.prices();
  EXPECT_EQ(a.step_us, b.step_us);
  EXPECT_EQ(a.key_us, b.key_us);
  EXPECT_EQ(a.prompt_row_us, b.prompt_row_us);
}

TEST(StepCosts, APauseChangesNothing) {
  StepCosts costs;
  Live(costs, kSmall);
  const StepWork mixed = Mixed(8, 800, 64, 500);
  const double before = costs.prices().TimeOf(mixed);
  costs.Observe(mixed, 5'000'000);
  EXPECT_EQ(costs.prices().TimeOf(mixed), before);
  Observe(costs, kSmall, mixed);
  costs.Observe(Decodes(8, 800), 5'000'000);
  EXPECT_NEAR(costs.prices().TimeOf(mixed), before, 0.02 * before);
}

TEST(StepCosts, ASecondStepLikeItIsBelieved) {
  for (const double factor : {3.0, 1 / 3.0}) {
    StepCosts costs;
    Live(costs, kSmall);
    const StepPrices now = Scaled(kSmall, factor);
    for (int i = 0; i < 2; ++i) Observe(costs, now, Mixed(8, 800, 50, 500));
    EXPECT_NEAR(Ratio(costs, now, Mixed(8, 800, 50, 550)), 1, 0.1) << factor;
  }
}

// Two steps that a stop of the machine fell into: believed, and taken back by the next two.
TEST(StepCosts, TwoPausesInARowAreForgottenInTwoSteps) {
  for (const double factor : {20.0, 1000.0}) {
    StepCosts costs;
    Live(costs, kSmall);
    const StepWork mixed = Mixed(8, 800, 50, 500);
    for (int i = 0; i < 2; ++i) Observe(costs, Scaled(kSmall, factor), mixed);
    EXPECT_GT(Ratio(costs, kSmall, mixed), 1.5) << factor;
    for (int i = 0; i < 2; ++i) Observe(costs, kSmall, mixed);
    EXPECT_NEAR(Ratio(costs, kSmall, mixed), 1, 0.15) << factor;
  }
}

// A machine that became slower while no prompt came: what decodes take says it for prompts too.
TEST(StepCosts, PromptsGetDearerWithTheWholeMachine) {
  StepCosts costs;
  Live(costs, kSmall);
  const StepPrices now = Scaled(kSmall, 2);
  for (int i = 0; i < 20; ++i) Observe(costs, now, Decodes(8, 900 + i));
  EXPECT_NEAR(Ratio(costs, now, Mixed(8, 920, 50, 500)), 1, 0.25);
}

TEST(StepCosts, ANoisyMachineIsEstimatedAboveItsMean) {
  StepCosts costs;
  std::mt19937 random(3);
  const auto noisy = [&](const StepWork& work) {
    const double factor = 0.7 + 0.6 * static_cast<double>(random() % 1000) / 1000;
    costs.Observe(work, std::llround(kSmall.TimeOf(work) * factor));
  };
  double sum = 0;
  for (int64_t i = 0; i < 500; ++i) {
    noisy(i % 3 == 0 ? Decodes(8, 500) : Mixed(8, 500, 50, 50 * (i % 40)));
    if (i >= 100) sum += Ratio(costs, kSmall, Mixed(8, 500, 50, 1000)) / 400;
  }
  EXPECT_GT(sum, 1.02);
  EXPECT_LT(sum, 1.4);
}

// An hour of one load, and whatever a clock may say.
TEST(StepCosts, StayFinite) {
  StepCosts costs;
  std::mt19937 random(5);
  for (int64_t i = 0; i < 300'000; ++i) Observe(costs, kSmall, Decodes(8, 500));
  EXPECT_NEAR(Ratio(costs, kSmall, Decodes(8, 500)), 1, 0.01);
  for (int64_t i = 0; i < 10'000; ++i) {
    const StepWork work = Mixed(random() % 64, random() % 100'000, random() % 512, random() % 100'000);
    costs.Observe(work, static_cast<int64_t>(random() % 8 == 0 ? 0 : random()));
    for (const double price : {costs.prices().step_us, costs.prices().decode_row_us,
                               costs.prices().prompt_row_us, costs.prices().key_us}) {
      ASSERT_TRUE(std::isfinite(price) && price >= 0) << i;
    }
  }
}

}  // namespace
}  // namespace quire::worker
