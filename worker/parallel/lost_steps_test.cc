// What becomes of a group, over all its forms, whose ranks fail or hang in a step.
#include <gmock/gmock.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/test_matrix.h"
#include "worker/parallel/test_ranks.h"
#include "worker/parallel/test_runners.h"

namespace quire::worker {
namespace {

using ::testing::HasSubstr;

class LostStepsTest : public ::testing::TestWithParam<GroupForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, LostStepsTest, kAllForms, NameOfForm);

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
TEST_P(LostStepsTest, AFollowersStepThatWasLaunchedAheadHasALimitOfItsOwn) {
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

TEST_P(LostStepsTest, AFailingRankLosesTheGroupForAll) {
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
TEST_P(LostStepsTest, AnErrorThatComesAfterLaunchDoesNotVanish) {
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

TEST_P(LostStepsTest, WhatADeviceComputesOnceTheGroupIsLostIsNoResult) {
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

TEST_P(LostStepsTest, AStepThatWasLaunchedAheadHasALimitOfItsOwn) {
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

TEST_P(LostStepsTest, ARankThatHangsInAStepIsFoundAndNamedByAll) {
  for (int hanging : {0, 1}) {
    for (const std::string& told : HangIn(GetParam(), hanging)) {
      EXPECT_THAT(told,
                  HasSubstr(absl::StrCat("rank ", hanging, " did not arrive, it is computing (step 5")));
      EXPECT_THAT(told, HasSubstr("waiting for"));
    }
  }
}

}  // namespace
}  // namespace quire::worker
