#include "gateway/generation/model_activity.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace quire::gateway {
namespace {

constexpr int64_t kOneSecondUs = 1'000'000;

// An answer of 101 tokens whose first took so long, and that came at such a rate.
void Answer(ModelActivity& activity, int64_t first_token_us, int64_t tokens_per_s, int64_t now_us) {
  activity.Begin("m");
  activity.FirstToken("m", first_token_us, now_us);
  activity.End("m", ModelActivity::Pace{101, 100 * kOneSecondUs / tokens_per_s}, now_us);
}

TEST(ModelActivity, CountsWhoWaitsAndWhoHasAToken) {
  ModelActivity activity;
  for (int i = 0; i < 3; ++i) activity.Begin("m");
  activity.FirstToken("m", kOneSecondUs, 0);
  EXPECT_EQ(activity.Of("m", 0).waiting, 2u);
  EXPECT_EQ(activity.Of("m", 0).running, 1u);
  activity.End("m", std::nullopt, 0);
  activity.End("m", ModelActivity::Pace{3, kOneSecondUs}, 0);
  EXPECT_EQ(activity.Of("m", 0).waiting, 1u);
  EXPECT_EQ(activity.Of("m", 0).running, 0u);
  EXPECT_FALSE(activity.Of("m", 0).tokens_per_s) << "too few tokens for a rate";
  EXPECT_EQ(activity.Of("other", 0).waiting, 0u);
  EXPECT_FALSE(activity.Of("other", 0).first_token_s);
}

TEST(ModelActivity, P95IsTheBadEndOfBoth) {
  ModelActivity activity;
  for (int i = 1; i <= 100; ++i) Answer(activity, i * kOneSecondUs, i, 0);
  const ModelActivity::Summary summary = activity.Of("m", 0);
  EXPECT_EQ(summary.answers, 100u);
  EXPECT_DOUBLE_EQ(summary.first_token_s->p50, 50);
  EXPECT_DOUBLE_EQ(summary.first_token_s->p95, 95);
  EXPECT_NEAR(summary.tokens_per_s->p50, 51, 0.01);
  EXPECT_NEAR(summary.tokens_per_s->p95, 6, 0.01);
}

TEST(ModelActivity, KeepsTheLatestForAWhile) {
  ModelActivity activity;
  for (size_t i = 0; i < 2 * ModelActivity::kKept; ++i) Answer(activity, kOneSecondUs, 10, 0);
  EXPECT_EQ(activity.Of("m", ModelActivity::kLatelyUs).answers, ModelActivity::kKept);
  for (size_t i = 0; i < ModelActivity::kKept; ++i) Answer(activity, 2 * kOneSecondUs, 10, kOneSecondUs);
  EXPECT_DOUBLE_EQ(activity.Of("m", kOneSecondUs).first_token_s->p50, 2);
  const ModelActivity::Summary later = activity.Of("m", 2 * kOneSecondUs + ModelActivity::kLatelyUs);
  EXPECT_EQ(later.answers, 0u);
  EXPECT_FALSE(later.first_token_s);
  EXPECT_FALSE(later.tokens_per_s);
}

Facts::Model Fact(const std::string& name, uint32_t groups_ready) {
  auto fact = std::make_shared<v1::ModelFact>();
  fact->set_model(name);
  fact->set_groups_ready(groups_ready);
  return fact;
}

TEST(ModelActivity, UptimeIsTheShareOfTheTimeWithAGroup) {
  ModelActivity activity;
  EXPECT_FALSE(activity.Of("m", 0).uptime);
  activity.Saw({Fact("m", 2), Fact("other", 0)}, 0);
  EXPECT_EQ(activity.Of("m", 0).uptime, 1);
  EXPECT_EQ(activity.Of("other", 0).uptime, 0);
  activity.Saw({Fact("m", 1), Fact("other", 1)}, 30);
  activity.Saw({Fact("m", 0), Fact("other", 1)}, 75);
  EXPECT_DOUBLE_EQ(*activity.Of("m", 100).uptime, 0.75);
  EXPECT_DOUBLE_EQ(*activity.Of("other", 100).uptime, 0.7);
  activity.Saw({Fact("m", 1)}, 100);
  EXPECT_DOUBLE_EQ(*activity.Of("other", 140).uptime, 0.5) << "one that is gone is not ready";
}

TEST(ModelActivity, UptimeIsOfTheLastDayAndBounded) {
  ModelUptime uptime;
  uptime.Saw(false, 0);
  uptime.Saw(true, ModelUptime::kWindowUs);
  EXPECT_EQ(uptime.Share(2 * ModelUptime::kWindowUs), 1);
  EXPECT_DOUBLE_EQ(*uptime.Share(ModelUptime::kWindowUs * 3 / 2), 0.5);
  EXPECT_EQ(uptime.Share(-1), 1) << "a clock that was set back";
  const int64_t last = 2 * ModelUptime::kWindowUs + 2 * static_cast<int64_t>(ModelUptime::kMost);
  for (int64_t at = 2 * ModelUptime::kWindowUs; at <= last; ++at) uptime.Saw(at % 2 == 0, at);
  EXPECT_DOUBLE_EQ(*uptime.Share(last + 1), 0.5) << "of the changes that were kept";
}

TEST(ModelActivity, NumericsAreThoseOfTheLatestPlacement) {
  ModelActivity activity;
  EXPECT_EQ(activity.Of("m", 0).numerics_id, "");
  activity.Placed("m", "cpu-bf16-1");
  activity.Placed("other", "cuda");
  activity.Placed("m", "cpu-bf16-2");
  EXPECT_EQ(activity.Of("m", 0).numerics_id, "cpu-bf16-2");
}

}  // namespace
}  // namespace quire::gateway
