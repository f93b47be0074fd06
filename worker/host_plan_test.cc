#include "worker/host_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kPlanGiB = int64_t{1} << 30;

// A context takes 4 GiB of KV, and its weights nearly nothing.
class HostPlanTest : public testing::Test {
 protected:
  HostPlanTest()
      : files_("BF16", {.hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 512, .head_dim = 64}),
        checkpoint_(*files_.Open()) {
    checkpoint_.config.max_context = 1 << 20;
    config_.limits.max_batch_tokens = 64;
    config_.limits.max_sequences = 2;
    config_.check = true;
    config_.ranks = config_.host_groups = 0;
  }
  absl::StatusOr<HostPlan> Plan(const std::vector<int64_t>& gib) const {
    std::vector<kernels::DeviceChoice> gpus;
    for (const int64_t size : gib) {
      kernels::DeviceChoice& gpu = gpus.emplace_back();
      gpu.name = "cuda";
      gpu.index = static_cast<int>(gpus.size()) - 1;
      gpu.id = absl::StrCat("GPU-", gpu.index);
      gpu.memory_bytes = gpu.free_bytes = size * kPlanGiB;
    }
    return PlanOnGpus(config_, checkpoint_, gpus);
  }
  int64_t Ranks(int64_t gib, int count) const {
    const absl::StatusOr<HostPlan> plan = Plan(std::vector<int64_t>(static_cast<size_t>(count), gib));
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (!plan.ok()) return 0;
    EXPECT_EQ(plan->groups, count / plan->ranks);
    return plan->ranks;
  }

  const TestCheckpoint files_;
  Checkpoint checkpoint_;
  WorkerConfig config_;
};

TEST_F(HostPlanTest, AsFewGpusAsHoldTheModelAndAContext) {
  EXPECT_EQ(Ranks(8, 8), 1);
  EXPECT_EQ(Ranks(4, 8), 2);
  EXPECT_EQ(Ranks(2, 8), 4);
  EXPECT_EQ(Ranks(1, 8), 8);
  EXPECT_EQ(Ranks(2, 4), 4);
  EXPECT_EQ(Ranks(2, 7), 4);
}

TEST_F(HostPlanTest, TooFewGpusAreSaid) {
  for (const size_t count : {1, 2, 3}) {
    const absl::Status few = Plan(std::vector<int64_t>(count, 2)).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(few)) << few;
    EXPECT_THAT(std::string(few.message()), HasSubstr("give --kv-blocks"));
  }
}

// What was asked for is what has to fit, and no whole context.
TEST_F(HostPlanTest, FewerBlocksTakeFewerGpus) {
  config_.kv_blocks = 1000;
  EXPECT_EQ(Ranks(2, 1), 1);
}

// A model with one KV head is on one rank, however small the GPU.
TEST_F(HostPlanTest, AModelThatCanNotBeSplit) {
  const TestCheckpoint files("BF16",
                             {.hidden = 128, .query_heads = 3, .kv_heads = 1, .ffn = 96, .head_dim = 128});
  checkpoint_ = *files.Open();
  checkpoint_.config.max_context = 1 << 20;
  EXPECT_EQ(Ranks(4, 8), 1);
  EXPECT_FALSE(Plan(std::vector<int64_t>(8, 1)).ok());
}

TEST_F(HostPlanTest, EachGroupHasItsGpusAndTheLeastOneIsPlannedWith) {
  const absl::StatusOr<HostPlan> plan = Plan({4, 1, 3, 4, 3, 3});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->ranks, 2);
  EXPECT_THAT(plan->gpus, ElementsAre("GPU-0", "GPU-3", "GPU-2", "GPU-4"));
  EXPECT_EQ(plan->device.memory_bytes, 3 * kPlanGiB);
  EXPECT_EQ(plan->notes.size(), 2u);  // one is too small, one is left over
  const nlohmann::json said = nlohmann::json::parse(plan->Json());
  EXPECT_EQ(said["gpus"], "GPU-0,GPU-3,GPU-2,GPU-4");
  EXPECT_EQ(said["groups"], "2");
  EXPECT_EQ(said["backend"], "cuda");
}

// A rank on each host: of this one's GPUs it has one, though the model is over two.
TEST_F(HostPlanTest, OfAGroupOnSeveralHostsOneRankIsHere) {
  config_.rendezvous = "other:1";
  config_.ranks = 2;
  config_.host_groups = 1;
  const absl::StatusOr<HostPlan> plan = Plan({4});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->ranks, 2);
  EXPECT_THAT(plan->gpus, ElementsAre("GPU-0"));
}

TEST_F(HostPlanTest, WithoutAGpuThereIsOneGroupUnlessMoreAreAsked) {
  config_.ranks = 2;
  for (const int64_t asked : {0, 1, 3}) {
    config_.host_groups = asked;
    const absl::StatusOr<HostPlan> plan = PlanHost(config_, checkpoint_);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->ranks, 2);
    EXPECT_EQ(plan->groups, asked == 3 ? 3 : 1);
    EXPECT_EQ(plan->reason, "as asked");
    EXPECT_THAT(plan->gpus, IsEmpty());
    EXPECT_THAT(plan->notes, IsEmpty());
  }
}

TEST_F(HostPlanTest, GpusAreNamedForGpusOnly) {
  config_.gpus = "0";
  const absl::Status refused = PlanHost(config_, checkpoint_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--gpus is for --backend cuda or auto"));
}

}  // namespace
}  // namespace quire::worker
