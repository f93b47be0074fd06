#include "worker/kv_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire::worker {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

KvDemand Small() {
  return {.asked_blocks = 0,
          .block_bytes = 368'640,  // SmolLM2: 23,040 bytes a token
          .weight_bytes = kGiB / 4,
          .max_context = 8192,
          .max_sequences = 64,
          .memory_bytes = 16 * kGiB};
}

TEST(KvPlan, TakesAQuarterOfTheMemory) {
  const auto plan = PlanKvBlocks(Small());
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->blocks, 4 * kGiB / 368'640);
}

TEST(KvPlan, TakesNoMoreThanTheSequencesCanUse) {
  KvDemand demand = Small();
  demand.max_sequences = 2;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, 1024);
}

TEST(KvPlan, GoesBeyondTheQuarterForOneContext) {
  KvDemand demand = Small();
  demand.max_context = 300'000;  // 6.4 GiB
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, 18'750);
}

TEST(KvPlan, TakesWhatWasAskedFor) {
  KvDemand demand = Small();
  demand.asked_blocks = 7;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, 7);
}

TEST(KvPlan, RefusesWithNumbersWhatCanNotFit) {
  KvDemand demand = Small();
  demand.max_context = 1'000'000;
  const auto plan = PlanKvBlocks(demand);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(plan.status().message()), testing::HasSubstr("--kv-blocks"));
  demand = Small();
  demand.asked_blocks = 1'000'000;
  EXPECT_FALSE(PlanKvBlocks(demand).ok());
}

}  // namespace
}  // namespace quire::worker
