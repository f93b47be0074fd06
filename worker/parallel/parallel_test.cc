// Ranks as threads over the real shared memory and over the thread communicator: one suite for both, plus the
// group's own life: joining, losing, plans.
#include <gmock/gmock.h>
#include <unistd.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/shm_communicator.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::worker {
namespace {

using kernels::Tensor;
using ::testing::HasSubstr;

std::string UniqueName() {
  static std::atomic<int> next{0};
  return absl::StrCat("quire-test-", getpid(), "-", next++);
}

RankGroupOptions GroupOf(const std::string& name, int rank, int size) {
  RankGroupOptions options;
  options.shm_name = name;
  options.rank = rank;
  options.size = size;
  options.exchange_bytes = 8192;  // small: exchanges go in several chunks
  options.join_timeout_ms = 30'000;
  options.stale_ms = 30'000;  // loaded test machines pause threads
  return options;
}

void RunRanks(int size, const std::function<void(int rank)>& body) {
  std::vector<std::thread> ranks;
  for (int r = 0; r < size; ++r) ranks.emplace_back(body, r);
  for (std::thread& rank : ranks) rank.join();
}

void RunShm(int size, const std::function<void(RankGroup&)>& body) {
  const std::string name = UniqueName();
  RunRanks(size, [&](int rank) {
    auto group = RankGroup::Join(GroupOf(name, rank, size), nullptr);
    ASSERT_TRUE(group.ok()) << group.status();
    body(**group);
    (*group)->Leave();
  });
}

struct Matrix {
  std::vector<float> values;
  Tensor tensor;
  Matrix(int64_t rows, int64_t cols)
      : values(rows * (cols + 3)), tensor{values.data(), kernels::DType::kF32, rows, cols, cols + 3} {}
};

void FillRandom(Matrix& matrix, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (float& value : matrix.values) value = normal(random);
}

void CheckAllReduce(kernels::Communicator& communicator) {
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 5}, {3, 576}, {64, 17}, {7, 2048}}) {
    std::vector<Matrix> parts;
    for (int r = 0; r < communicator.size(); ++r) {
      FillRandom(parts.emplace_back(rows, cols), r + 100 * static_cast<int>(cols));
    }
    Matrix mine = parts[communicator.rank()];
    mine.tensor.data = mine.values.data();
    ASSERT_TRUE(communicator.AllReduceSum(mine.tensor).ok());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        float sum = parts[0].values[row * (cols + 3) + col];
        for (int r = 1; r < communicator.size(); ++r) sum += parts[r].values[row * (cols + 3) + col];
        ASSERT_EQ(mine.tensor.f32(row)[col], sum) << row << "," << col;  // bitwise: rank order
      }
    }
  }
}

void CheckGather(kernels::Communicator& communicator) {
  const int rank = communicator.rank(), size = communicator.size();
  Matrix local(5, 10 + rank), out(5, 10 * size + size * (size - 1) / 2);
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t col = 0; col < local.tensor.cols; ++col) {
      local.tensor.f32(row)[col] = static_cast<float>(1000 * rank + 100 * row + col);
    }
  }
  ASSERT_TRUE(communicator.GatherColumns(local.tensor, out.tensor).ok());
  if (rank != 0) return;
  for (int64_t row = 0; row < 5; ++row) {
    int64_t at = 0;
    for (int r = 0; r < size; ++r) {
      for (int64_t col = 0; col < 10 + r; ++col) {
        ASSERT_EQ(out.tensor.f32(row)[at++], static_cast<float>(1000 * r + 100 * row + col));
      }
    }
  }
}

class Communicators : public ::testing::TestWithParam<int> {};

TEST_P(Communicators, SharedMemorySumsInRankOrderAndGathers) {
  RunShm(GetParam(), [](RankGroup& group) {
    ShmCommunicator communicator(group);
    for (int round = 0; round < 20; ++round) {
      CheckAllReduce(communicator);
      CheckGather(communicator);
    }
  });
}

TEST_P(Communicators, ThreadsSumInRankOrderAndGather) {
  ThreadGroup group(GetParam());
  RunRanks(GetParam(), [&](int rank) {
    auto communicator = group.MakeCommunicator(rank);
    CheckAllReduce(*communicator);
    CheckGather(*communicator);
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, Communicators, ::testing::Values(1, 2, 3, 4));

// Remembers what it ran; answers one token per sequence that wants logits: its last input id.
class EchoRunner final : public ModelRunner {
 public:
  absl::Status Launch(const BatchPlan& plan) override {
    plans.push_back(plan);
    return fail ? absl::InternalError("planted") : absl::OkStatus();
  }
  absl::StatusOr<StepResult> Collect() override {
    StepResult result;
    for (const SequencePlan& sequence : plans.back().sequences) {
      if (sequence.wants_logits) result.tokens.push_back({sequence.ids.back(), 0.0f, false});
    }
    return result;
  }
  std::vector<BatchPlan> plans;
  bool fail = false;
};

BatchPlan RandomPlan(uint64_t step, std::mt19937& random) {
  BatchPlan plan;
  plan.step = step;
  for (uint32_t i = 0; i < 1 + random() % 5; ++i) {
    SequencePlan sequence;
    sequence.position = static_cast<int64_t>(random()) << 5;
    sequence.ids.assign(1 + random() % 20, static_cast<TokenId>(random() % 1000));
    sequence.blocks.assign(random() % 7, static_cast<int32_t>(random() % 100));
    sequence.scaled_rope = random() % 2 == 0;
    sequence.wants_logits = random() % 2 == 0;
    plan.sequences.push_back(std::move(sequence));
  }
  return plan;
}

bool Same(const BatchPlan& a, const BatchPlan& b) {
  auto same_sequence = [](const SequencePlan& x, const SequencePlan& y) {
    return x.position == y.position && x.ids == y.ids && x.blocks == y.blocks &&
           x.scaled_rope == y.scaled_rope && x.wants_logits == y.wants_logits;
  };
  return a.step == b.step && std::equal(a.sequences.begin(), a.sequences.end(), b.sequences.begin(),
                                        b.sequences.end(), same_sequence);
}

TEST(DistributedRunner, FollowersRunEveryPlanAndStop) {
  EchoRunner runners[3];
  RunShm(3, [&](RankGroup& group) {
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
    for (size_t i = 0; i < 200; ++i) EXPECT_TRUE(Same(runners[0].plans[i], runners[follower].plans[i]));
  }
}

TEST(DistributedRunner, AFailingRankLosesTheGroupForAll) {
  EchoRunner runners[2];
  runners[1].fail = true;
  RunShm(2, [&](RankGroup& group) {
    EchoRunner& runner = runners[group.rank()];
    if (group.rank() != 0) {
      EXPECT_FALSE(RunFollower(group, runner).ok());
      return;
    }
    ShmCommunicator communicator(group);
    DistributedRunner distributed(group, runner);
    std::mt19937 random(7);
    ASSERT_TRUE(distributed.Launch(RandomPlan(0, random)).ok());
    Matrix matrix(1, 4);
    EXPECT_TRUE(absl::IsUnavailable(communicator.AllReduceSum(matrix.tensor)));  // the peer will never come
    EXPECT_FALSE(group.Healthy());
  });
}

TEST(RankGroup, ASilentRankLosesTheGroup) {
  const std::string name = UniqueName();
  Notification joined;
  Notification lost;
  std::thread peer([&] {
    RankGroupOptions options = GroupOf(name, 1, 2);
    auto group = RankGroup::Join(options, nullptr);
    ASSERT_TRUE(group.ok());
    joined.WaitForNotification();
    // Destroyed without Leave: it stops beating, as a killed process does.
  });
  RankGroupOptions options = GroupOf(name, 0, 2);
  options.stale_ms = 500;
  auto group = RankGroup::Join(options, [&] { lost.Notify(); });
  ASSERT_TRUE(group.ok()) << group.status();
  joined.Notify();
  peer.join();
  lost.WaitForNotification();
  EXPECT_FALSE((*group)->Healthy());
  EXPECT_TRUE(absl::IsUnavailable((*group)->AllReady({})));
}

TEST(RankGroup, RefusesDifferentSizesAndMissingRanks) {
  const std::string name = UniqueName();
  RankGroupOptions options = GroupOf(name, 0, 2);
  options.join_timeout_ms = 1;
  auto alone = RankGroup::Join(options, nullptr);
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("rank 1 did not join"));
  options.rank = 1;
  EXPECT_FALSE(RankGroup::Join(options, nullptr).ok());  // its memory stays: only rank 0 takes the name away
  options.rank = 0;
  options.exchange_bytes *= 2;
  EXPECT_TRUE(absl::IsInvalidArgument(RankGroup::Join(options, nullptr).status()));
  options.rank = 2;
  EXPECT_TRUE(absl::IsInvalidArgument(RankGroup::Join(options, nullptr).status()));
}

TEST(RankGroup, SharesFacts) {
  RunShm(2, [](RankGroup& group) {
    ASSERT_TRUE(group.AllReady({8000 + group.rank(), 10 * group.rank()}).ok());
    EXPECT_EQ(group.facts(1).metrics_port, 8001);
    EXPECT_EQ(group.facts(1).weight_bytes, 10);
    EXPECT_TRUE(group.Healthy());
    // Nobody leaves before both have looked.
    ShmCommunicator communicator(group);
    Matrix matrix(1, 1);
    ASSERT_TRUE(communicator.AllReduceSum(matrix.tensor).ok());
  });
}

}  // namespace
}  // namespace quire::worker
