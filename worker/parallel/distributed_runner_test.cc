// Plans and results of a group's ranks, which are threads here, over all its forms; and what becomes of one
// whose ranks fail or hang in a step.
#include <gmock/gmock.h>
#include <algorithm>
#include <deque>
#include <random>
#include <span>

#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/plan_codec.h"
#include "worker/parallel/test_matrix.h"
#include "worker/parallel/test_plans.h"
#include "worker/parallel/test_ranks.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

// Remembers what it ran; answers one token per row that is wanted: its input id.
class EchoRunner final : public ModelRunner {
 public:
  absl::Status Launch(const BatchPlan& plan) override {
    plans.push_back(plan);
    return fail ? absl::InternalError("planted") : absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override {
    if (fail_later) return absl::InternalError("planted late");
    StepResult result;
    for (const WantedRow& wanted : plans.back().wanted) {
      result.tokens.push_back({plans.back().ids[wanted.row], 0.0f, false});
    }
    return result;
  }
  std::vector<BatchPlan> plans;
  bool fail = false, fail_later = false;
};

// On a device that ends its waits when the group is lost, and computes on.
class LosingRunner final : public ModelRunner {
 public:
  explicit LosingRunner(Liveness& liveness) : liveness_(liveness) {}
  absl::Status Launch(const BatchPlan&) override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Collect() override {
    liveness_.Lose("planted");
    return StepResult{};
  }

 private:
  Liveness& liveness_;
};

// As a model's decoder does: exchanges tensors in each step.
class ExchangingRunner final : public ModelRunner {
 public:
  explicit ExchangingRunner(kernels::Communicator& communicator) : communicator_(communicator) {}
  absl::Status Launch(const BatchPlan&) override { return communicator_.AllReduceSum(matrix_.tensor); }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }

 private:
  kernels::Communicator& communicator_;
  TestMatrix matrix_{1, 4};
};

BatchPlan RandomPlan(uint64_t step, std::mt19937& random) {
  PlanBuilder builder;
  for (int32_t slot = 0; slot < static_cast<int32_t>(1 + random() % 5); ++slot) {
    if (random() % 2 == 0) builder.Open({.slot = slot, .scaled_rope = 1}, {}, {1, 2});
    builder.Rows(slot, static_cast<int32_t>(random() % 100'000),
                 std::vector<TokenId>(1 + random() % 20, static_cast<TokenId>(random() % 1000)),
                 std::vector<int32_t>(random() % 7, static_cast<int32_t>(random() % 100)));
    if (random() % 2 == 0) builder.Want();
  }
  BatchPlan plan = builder.Take();
  plan.step = step;
  return plan;
}

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

// Takes two steps at once.
class AheadRunner final : public ModelRunner {
 public:
  bool runs_ahead() const override { return true; }
  absl::Status Launch(const BatchPlan& plan) override {
    rows.push_back(plan.sequences[0].sampled_row);
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }
  std::vector<int32_t> rows;
};

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

// Its second step never ends.
class HangingAheadRunner final : public ModelRunner {
 public:
  bool runs_ahead() const override { return true; }
  absl::Status Launch(const BatchPlan&) override { return absl::OkStatus(); }
  absl::StatusOr<StepResult> Collect() override {
    if (collected_++ > 0) lost.WaitForNotification();
    return StepResult{};
  }
  Notification lost;

 private:
  int collected_ = 0;
};

// As on devices: the second step of a follower never ends, whose plan it has long taken.
TEST_P(DistributedRunnerTest, AFollowersStepThatWasLaunchedAheadHasALimitOfItsOwn) {
  HangingAheadRunner stuck;
  AheadRunner runner;
  std::string told;
  RunGroup(
      GetParam(), 2,
      [&](RankGroup& group) {
        // The first step may take hours, as its weights may be on a disk; the second one a part of a second.
        const StepDeadlineOptions limits{.floor_us = 200'000, .weight_bytes = 1'000'000'000'000};
        if (group.rank() == 1) {
          told = MessageOf(RunFollower(group, stuck, limits));
          return;
        }
        DistributedRunner distributed(group, runner, {.floor_us = 600'000'000});
        std::vector<BatchPlan> plans;
        for (const uint64_t step : {5, 6}) {
          plans.push_back(PlanBuilder().Rows(0, 0, {1}).Take());
          plans.back().step = step;
        }
        for (const BatchPlan& plan : plans) ASSERT_TRUE(distributed.Launch(plan).ok());
        for (int i = 0; i < 2; ++i) (void)distributed.Collect();
        (void)distributed.StopFollowers();
      },
      [&](int rank) {
        if (rank == 1) stuck.lost.Notify();
      });
  EXPECT_THAT(told, HasSubstr("rank 1 did not arrive, it is computing (step 6"));
}

TEST_P(DistributedRunnerTest, AFailingRankLosesTheGroupForAll) {
  EchoRunner runners[2];
  runners[1].fail = true;
  RunGroup(GetParam(), 2, [&](RankGroup& group) {
    EchoRunner& runner = runners[group.rank()];
    if (group.rank() != 0) {
      EXPECT_FALSE(RunFollower(group, runner).ok());
      return;
    }
    auto communicator = group.rendezvous->HostCommunicator().value();
    DistributedRunner distributed(group, runner);
    std::mt19937 random(7);
    ASSERT_TRUE(distributed.Launch(RandomPlan(0, random)).ok());
    TestMatrix matrix(1, 4);
    EXPECT_TRUE(absl::IsUnavailable(communicator->AllReduceSum(matrix.tensor)));  // the peer will never come
    EXPECT_FALSE(group.liveness->Healthy());
  });
}

// As on a device that computes meanwhile: a follower, which reads no result, has its error of a step from
// Collect, the last step's too.
TEST_P(DistributedRunnerTest, AnErrorThatComesAfterLaunchDoesNotVanish) {
  EchoRunner runners[2];
  runners[1].fail_later = true;
  RunGroup(GetParam(), 2, [&](RankGroup& group) {
    EchoRunner& runner = runners[group.rank()];
    if (group.rank() != 0) {
      EXPECT_THAT(MessageOf(RunFollower(group, runner)), HasSubstr("planted late"));
      return;
    }
    DistributedRunner distributed(group, runner);
    std::mt19937 random(7);
    ASSERT_TRUE(distributed.Launch(RandomPlan(0, random)).ok());
    absl::Status status = distributed.Collect().status();  // which may have heard of it already
    if (status.ok()) status = distributed.StopFollowers();
    EXPECT_THAT(MessageOf(status), HasSubstr("rank 1 failed: planted late"));
  });
}

TEST_P(DistributedRunnerTest, WhatADeviceComputesOnceTheGroupIsLostIsNoResult) {
  RunGroup(GetParam(), 1, [&](RankGroup& group) {
    LosingRunner runner(*group.liveness);
    DistributedRunner distributed(group, runner);
    BatchPlan plan = PlanBuilder().Take();
    plan.step = 1;
    ASSERT_TRUE(distributed.Launch(plan).ok());
    const absl::Status status = distributed.Collect().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("planted"));
  });
}

TEST_P(DistributedRunnerTest, AStepThatWasLaunchedAheadHasALimitOfItsOwn) {
  HangingAheadRunner stuck;
  std::string told;
  RunGroup(
      GetParam(), 1,
      [&](RankGroup& group) {
        DistributedRunner distributed(group, stuck, {.floor_us = 200'000});
        for (const uint64_t step : {5, 6}) {
          BatchPlan plan = PlanBuilder().Take();
          plan.step = step;
          ASSERT_TRUE(distributed.Launch(plan).ok());
        }
        ASSERT_TRUE(distributed.Collect().ok());
        told = MessageOf(distributed.Collect().status());
      },
      [&](int) { stuck.lost.Notify(); });
  EXPECT_THAT(told, HasSubstr("step 6"));
}

// Hangs in its first step until the group is lost, as a rank with a stuck device does: its process beats on.
class HangingRunner final : public ModelRunner {
 public:
  absl::Status Launch(const BatchPlan&) override {
    lost.WaitForNotification();
    return absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }
  Notification lost;
};

// What each rank of two was told when `hanging` hangs in step 5, which all ranks exchange tensors in.
std::vector<std::string> HangIn(GroupForm form, int hanging) {
  HangingRunner stuck;
  std::vector<std::string> told(2);
  const StepDeadlineOptions at_once{.floor_us = 1};
  RunGroup(
      form, 2,
      [&](RankGroup& group) {
        auto communicator = group.rendezvous->HostCommunicator().value();
        ExchangingRunner exchanging(*communicator);
        ModelRunner& runner = group.rank() == hanging ? static_cast<ModelRunner&>(stuck) : exchanging;
        absl::Status status;
        if (group.rank() != 0) {
          status = RunFollower(group, runner, at_once);
        } else {
          DistributedRunner distributed(group, runner, at_once);
          BatchPlan plan;
          plan.step = 5;
          status = distributed.Launch(plan);
          if (status.ok()) status = distributed.Collect().status();
          if (status.ok()) status = distributed.Launch(plan);
        }
        EXPECT_FALSE(status.ok());
        EXPECT_FALSE(group.liveness->Healthy());
        told[group.rank()] = MessageOf(group.liveness->LostError());
      },
      [&](int rank) {
        if (rank == hanging) stuck.lost.Notify();
      });
  return told;
}

TEST_P(DistributedRunnerTest, ARankThatHangsInAStepIsFoundAndNamedByAll) {
  for (int hanging : {0, 1}) {
    for (const std::string& told : HangIn(GetParam(), hanging)) {
      EXPECT_THAT(told,
                  HasSubstr(absl::StrCat("rank ", hanging, " did not arrive, it is computing (step 5")));
      EXPECT_THAT(told, HasSubstr("waiting for"));
    }
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
