// Plans and results of a group's ranks, which are threads here, over all its forms.
#include <gmock/gmock.h>

#include <cstring>
#include <deque>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/plan_codec.h"
#include "worker/parallel/test_plans.h"
#include "worker/parallel/test_ranks.h"
#include "worker/parallel/test_runners.h"

namespace quire::worker {
namespace {

class DistributedRunnerTest : public ::testing::TestWithParam<GroupForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, DistributedRunnerTest, kAllForms, NameOfForm);

TEST_P(DistributedRunnerTest, FollowersRunEveryPlanAndStop) {
  EchoRunner runners[3];
  RunGroup(GetParam(), 3, [&](RankGroup& group) {
    EchoRunner& runner = runners[group.rank()];
    if (group.rank() != 0) {
      EXPECT_TRUE(RunFollower(group, runner).ok());
      return;
    }
    DistributedRunner distributed(group, runner);
    std::mt19937 random(7);
    for (uint64_t step = 0; step < 200; ++step) {
      ASSERT_TRUE(distributed.Launch(RandomPlan(step, random)).ok());
      ASSERT_TRUE(distributed.Collect().ok());
    }
    ASSERT_TRUE(distributed.StopFollowers().ok());
  });
  for (int follower : {1, 2}) {
    ASSERT_EQ(runners[follower].plans.size(), 200u);
    for (size_t i = 0; i < 200; ++i) {
      EXPECT_EQ(WireOf(runners[0].plans[i]), WireOf(runners[follower].plans[i]));
      EXPECT_TRUE(runners[follower].plans[i].openings.empty() && runners[follower].plans[i].samples.empty());
    }
  }
}

// Followers, which sample nothing, get what rank 0 sampled with the next plan.
TEST_P(DistributedRunnerTest, SampledIdsReachEveryRank) {
  EchoRunner runners[2];
  RunGroup(GetParam(), 2, [&](RankGroup& group) {
    EchoRunner& runner = runners[group.rank()];
    if (group.rank() != 0) {
      EXPECT_TRUE(RunFollower(group, runner).ok());
      return;
    }
    DistributedRunner distributed(group, runner);
    PlanBuilder next;
    const auto run = [&](PlanBuilder& builder) {
      const absl::Status launched = distributed.Launch(builder.Take());
      return launched.ok() ? distributed.Collect().status() : launched;
    };
    ASSERT_TRUE(run(next.Rows(0, 0, {1, 41}).Want().Rows(1, 0, {42}).Want()).ok());
    ASSERT_TRUE(run(next.Rows(1, 1, {0, 7}).FromSampled(1).Want().Rows(0, 2, {0}).FromSampled(0)).ok());
    ASSERT_TRUE(distributed.StopFollowers().ok());
    EXPECT_TRUE(absl::IsInternal(run(next.Rows(0, 3, {0}).FromSampled(1)))) << "one was sampled";
  });
  EXPECT_THAT(runners[1].plans.at(1).ids, ::testing::ElementsAre(42, 7, 41));
  EXPECT_EQ(runners[1].plans.at(1).sequences[0].sampled_row, -1);
}

TEST_P(DistributedRunnerTest, ARankAloneRunsAheadAndHandsRowsOnAsTheyAre) {
  AheadRunner runner;
  RunGroup(GetParam(), 1, [&](RankGroup& group) {
    DistributedRunner distributed(group, runner);
    EXPECT_TRUE(distributed.runs_ahead());
    PlanBuilder next;
    const BatchPlan first = next.Rows(0, 0, {1}).Want().Take();
    const BatchPlan second = next.Rows(0, 1, {0}).FromSampled(0).Want().Take();
    ASSERT_TRUE(distributed.Launch(first).ok());
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(distributed.Launch(second).ok());
      ASSERT_TRUE(distributed.Collect().ok());
      EXPECT_TRUE(group.liveness->Healthy());
    }
    ASSERT_TRUE(distributed.Collect().ok());
  });
  EXPECT_THAT(runner.rows, ::testing::ElementsAre(-1, 0, 0, 0));
}

// Says what it is called for: l1, c1 for a step that begins with a token of the one before, L1 for others.
class SpellingRunner final : public ModelRunner {
 public:
  bool runs_ahead() const override { return true; }
  absl::Status Launch(const BatchPlan& plan) override {
    flight_.push_back(&plan);
    calls += absl::StrCat(plan.sequences[0].sampled_row < 0 ? "L" : "l", plan.step, " ");
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override {
    calls += absl::StrCat("c", flight_.front()->step, " ");  // its plan stays until then
    if (flight_.front()->step == 3) third_collected.Notify();
    flight_.pop_front();
    return StepResult{};
  }
  std::string calls;
  Notification third_collected;

 private:
  std::deque<const BatchPlan*> flight_;
};

// A follower launches a plan before it collects the one before, and the last one without a plan behind it.
TEST_P(DistributedRunnerTest, FollowersRunAheadAsRankZeroDoes) {
  SpellingRunner runners[3];
  RunGroup(GetParam(), 3, [&](RankGroup& group) {
    if (group.rank() != 0) {
      EXPECT_TRUE(RunFollower(group, runners[group.rank()]).ok());
      return;
    }
    DistributedRunner distributed(group, runners[0]);
    ASSERT_TRUE(distributed.runs_ahead());
    std::vector<BatchPlan> plans;
    PlanBuilder next;
    for (uint64_t step = 0; step < 6; ++step) {
      next.Rows(0, static_cast<int32_t>(step), {0});
      if (step == 2 || step == 3) next.FromSampled(0);
      plans.push_back(next.Want().Take());
      plans.back().step = step;
    }
    const auto launch = [&](int step) { ASSERT_TRUE(distributed.Launch(plans[step]).ok()); };
    const auto collect = [&] { ASSERT_TRUE(distributed.Collect().ok()); };
    launch(1);
    launch(2);
    collect();
    launch(3);
    collect();
    collect();
    for (const int follower : {1, 2}) runners[follower].third_collected.WaitForNotification();
    launch(4);
    collect();
    launch(5);
    collect();
    ASSERT_TRUE(distributed.StopFollowers().ok());
  });
  for (const SpellingRunner& runner : runners) {
    EXPECT_EQ(runner.calls, "L1 l2 c1 l3 c2 c3 L4 c4 L5 c5 ");
  }
}

TEST_P(DistributedRunnerTest, APlanThatIsCutShortIsRefused) {
  TestRank each;
  each.buffers.plan_bytes = PlanBytesFor({4, 4, 4, 4});
  RunGroup(GetParam(), each, [](RankGroup& group) {
    if (group.rank() == 1) {
      EXPECT_EQ(PlanChannel(group).Receive().status().code(), absl::StatusCode::kInternal);
      return group.liveness->Leave();
    }
    // A plan's kind, step, and numbers of what follows, which isn't there.
    const int32_t words[] = {1, 5, 0, 0, INT32_MAX, 0, 0, 0};
    std::memcpy(group.plans->buffer().data(), words, sizeof(words));
    EXPECT_TRUE(group.plans->Send(sizeof(words)).ok());
    group.liveness->Leave();
  });
}

TEST_P(DistributedRunnerTest, ItsChannelHoldsTheLargestPlanOfItsLimitsAndRefusesALargerOne) {
  for (const PlanLimits& limits :
       {PlanLimits{1, 1, 1, 1}, {3, 3, 5, 1}, {5, 64, 5, 7}, {64, 512, 64, 512}, {7, 8, 7, 4}}) {
    const BatchPlan largest = LargestPlan(limits);
    TestRank each;
    each.buffers.plan_bytes = PlanBytesFor(limits);
    RunGroup(GetParam(), each, [&](RankGroup& group) {
      PlanChannel channel(group);
      if (group.rank() == 1) {
        auto received = channel.Receive();
        ASSERT_TRUE(received.ok() && received->order == FollowerOrder::kPlan);
        EXPECT_EQ(WireOf(received->plan), WireOf(largest));
        EXPECT_EQ(channel.Receive()->order, FollowerOrder::kStop);
        return;
      }
      ASSERT_TRUE(channel.Send(largest, largest.ids).ok());
      BatchPlan larger = largest;
      larger.ids.resize(larger.ids.size() + 4096);
      EXPECT_TRUE(absl::IsInvalidArgument(channel.Send(larger, larger.ids)));
      EXPECT_TRUE(channel.SendStop().ok());
    });
  }
}

}  // namespace
}  // namespace quire::worker
