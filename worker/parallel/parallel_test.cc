// Ranks as threads over all forms of a group and over the thread communicator: one suite for all. Then plans,
// and what becomes of a group whose ranks fail or hang in a step.
#include <gmock/gmock.h>
#include <algorithm>
#include <random>
#include <span>

#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/engine/testing/plan_builder.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/plan_codec.h"
#include "worker/parallel/rank_sum.h"
#include "worker/parallel/shm_communicator.h"
#include "worker/parallel/test_plans.h"
#include "worker/parallel/test_ranks.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::worker {
namespace {

using kernels::Tensor;
using ::testing::HasSubstr;

struct Matrix {
  std::vector<float> values;
  Tensor tensor;
  Matrix(int64_t rows, int64_t cols)
      : values(rows * (cols + 3)), tensor{values.data(), kernels::DType::kF32, rows, cols, cols + 3} {}
};

void FillRandom(Matrix& matrix, int seed) {
  std::minstd_rand random(seed);
  for (float& value : matrix.values) value = (static_cast<float>(random()) - 0x1p30f) * 0x1p-20f;
}

void CheckAllReduceOf(kernels::Communicator& communicator, int64_t rows, int64_t cols) {
  std::vector<Matrix> parts;
  for (int r = 0; r < communicator.size(); ++r) {
    FillRandom(parts.emplace_back(rows, cols), r + 100 * static_cast<int>(cols));
  }
  Matrix mine = parts[communicator.rank()];
  mine.tensor.data = mine.values.data();
  ASSERT_TRUE(communicator.AllReduceSum(mine.tensor).ok());
  std::vector<float> sums(cols);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<const float*> of_ranks;
    for (const Matrix& part : parts) of_ranks.push_back(&part.values[row * (cols + 3)]);
    SumRanks(of_ranks, cols, sums.data());
    const std::span<const float> got(mine.tensor.f32(row), cols);
    ASSERT_TRUE(std::equal(got.begin(), got.end(), sums.begin())) << "row " << row;  // bitwise: its order
  }
}

void CheckAllReduce(kernels::Communicator& communicator) {
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 5}, {3, 576}, {64, 17}, {7, 2048}}) {
    CheckAllReduceOf(communicator, rows, cols);
  }
}

uint8_t GatheredByte(int rank, size_t at) { return static_cast<uint8_t>(at * 7 + at / 251 + 31 * rank); }

// As many bytes of each rank, cut otherwise than where they are to stand.
void CheckGatherOf(kernels::Communicator& communicator, size_t bytes) {
  const int rank = communicator.rank(), size = communicator.size();
  const auto of_rank = [&](int r) { return bytes * static_cast<size_t>(r); };
  std::vector<std::vector<uint8_t>> memory(size);
  kernels::ByteSpans mine;
  std::vector<kernels::ByteSpans> into(rank == 0 ? size : 0);
  for (int r = 1; r < size; ++r) {
    if (rank != 0 && rank != r) continue;
    std::vector<uint8_t>& all = memory[r];
    all.resize(of_rank(r));
    kernels::ByteSpans& spans = rank == 0 ? into[r] : mine;
    const size_t cut = rank == 0 ? all.size() / 3 : all.size() / 2;
    for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, {cut, cut}, {cut, all.size()}}) {
      spans.push_back(std::span(all).subspan(begin, end - begin));
    }
    for (size_t i = 0; i < all.size() && rank != 0; ++i) all[i] = GatheredByte(r, i);
  }
  ASSERT_TRUE(communicator.Gather(mine, into).ok());
  if (rank != 0) return;
  for (int r = 1; r < size; ++r) {
    for (size_t i = 0; i < of_rank(r); ++i) ASSERT_EQ(memory[r][i], GatheredByte(r, i)) << r << " at " << i;
  }
}

void CheckGather(kernels::Communicator& communicator) {
  for (const size_t bytes : {0, 1, 40, 5000, 20'000}) CheckGatherOf(communicator, bytes);
}

class GroupCommunicator : public ::testing::TestWithParam<std::tuple<GroupForm, int>> {};

TEST_P(GroupCommunicator, SumsInTheRanksOrderAndGathers) {
  RunGroup(std::get<0>(GetParam()), std::get<1>(GetParam()), [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    for (int round = 0; round < 20; ++round) {
      CheckAllReduce(*communicator);
      CheckGather(*communicator);
    }
  });
}

// As large as an exchange gets: over TCP the last that goes one way, the first that goes another, and more.
TEST_P(GroupCommunicator, SumsManyBytesInTheRanksOrderToo) {
  for (const int64_t bytes : {64 << 10, (64 << 10) + 4, 1 << 20}) {
    TestRank each{.size = std::get<1>(GetParam())};
    each.buffers.exchange_bytes = bytes;
    RunGroup(std::get<0>(GetParam()), each, [&](RankGroup& group) {
      auto communicator = group.rendezvous->HostCommunicator().value();
      CheckAllReduceOf(*communicator, bytes / (577 * 4) + 3, 577);  // one whole exchange and some more
      CheckGatherOf(*communicator, static_cast<size_t>(bytes / 2 + 1));
    });
  }
}

TEST_P(GroupCommunicator, SaysWhereARankSendsOtherThanIsExpected) {
  if (std::get<1>(GetParam()) == 1) return;
  RunGroup(std::get<0>(GetParam()), std::get<1>(GetParam()), [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    std::vector<uint8_t> some(100);
    if (group.rank() != 0) {
      EXPECT_TRUE(communicator->Gather({std::span(some).first(group.rank())}, {}).ok());
      return;
    }
    std::vector<kernels::ByteSpans> into(group.size());
    for (int r = 1; r < group.size(); ++r) into[r] = {std::span(some).first(r + (r + 1 == group.size()))};
    EXPECT_THAT(MessageOf(communicator->Gather({}, into)),
                HasSubstr(absl::StrCat("rank ", group.size() - 1, " sends")));
  });
}

INSTANTIATE_TEST_SUITE_P(Forms, GroupCommunicator,
                         ::testing::Combine(kAllForms, ::testing::Values(1, 2, 3, 4, 8)),
                         [](const auto& info) {
                           return absl::StrCat(FormName(std::get<0>(info.param)), std::get<1>(info.param));
                         });

class ThreadCommunicators : public ::testing::TestWithParam<int> {};

TEST_P(ThreadCommunicators, ThreadsSumInTheRanksOrderAndGather) {
  ThreadGroup group(GetParam());
  RunRanks(GetParam(), [&](int rank) {
    auto communicator = group.MakeCommunicator(rank);
    CheckAllReduce(*communicator);
    CheckGather(*communicator);
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadCommunicators, ::testing::Values(1, 2, 3, 4, 8));

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

// As a model's decoder does: exchanges tensors in each step.
class ExchangingRunner final : public ModelRunner {
 public:
  explicit ExchangingRunner(kernels::Communicator& communicator) : communicator_(communicator) {}
  absl::Status Launch(const BatchPlan&) override { return communicator_.AllReduceSum(matrix_.tensor); }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }

 private:
  kernels::Communicator& communicator_;
  Matrix matrix_{1, 4};
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
    Matrix matrix(1, 4);
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
    ASSERT_TRUE(distributed.Collect().ok());
    EXPECT_THAT(MessageOf(distributed.StopFollowers()), HasSubstr("rank 1 failed: planted late"));
  });
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
        ASSERT_TRUE(received.ok() && received->has_value());
        EXPECT_EQ(WireOf(**received), WireOf(largest));
        EXPECT_FALSE(channel.Receive()->has_value());
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

TEST(ShmCommunicator, ItsBufferHoldsAnyRowAndRefusesALongerOne) {
  // {batch tokens, hidden}: the last is wider than the least buffer.
  for (auto [tokens, hidden] : {std::pair<int64_t, int64_t>{1, 64}, {512, 5120}, {1, 1 << 19}}) {
    const int64_t bytes = ExchangeBytesFor(tokens, hidden);
    TestRank each;
    each.buffers.exchange_bytes = bytes;
    RunGroup(GroupForm::kShm, each, [&, hidden = hidden](RankGroup& group) {
      auto communicator = group.rendezvous->HostCommunicator().value();
      Matrix row(1, hidden), longer(1, bytes / 4 + 1);
      EXPECT_TRUE(communicator->AllReduceSum(row.tensor).ok());
      EXPECT_TRUE(absl::IsInvalidArgument(communicator->AllReduceSum(longer.tensor)));
    });
  }
}

TEST_P(DistributedRunnerTest, AGroupOfOneNeedsNoBuffer) {
  RunGroup(GetParam(), {.size = 1, .buffers = {4, 4}}, [](RankGroup& group) {
    auto communicator = group.rendezvous->HostCommunicator().value();
    CheckAllReduce(*communicator);
    CheckGather(*communicator);
  });
}

TEST(ThreadGroup, AFailedRankEndsTheOthersWaits) {
  ThreadGroup group(3);
  RunRanks(3, [&](int rank) {
    if (rank == 2) return group.Fail();
    Matrix matrix(1, 4);
    EXPECT_TRUE(absl::IsUnavailable(group.MakeCommunicator(rank)->AllReduceSum(matrix.tensor)));
  });
}

}  // namespace
}  // namespace quire::worker
