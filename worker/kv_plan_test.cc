#include "worker/kv_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"

namespace quire::worker {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

KvDemand Small() {
  return {.asked_blocks = 0,
          .block_bytes = 368'640,  // SmolLM2: 23,040 bytes a token
          .weight_bytes = kGiB / 4,
          .max_context = 8192,
          .max_sequences = 64,
          .max_batch_tokens = 512,
          .scored_rows = 32,
          .token_bytes = 20'000,
          .sequence_bytes = 400'000,
          .sampler_bytes = 2 * 800'000,
          .memory_bytes = 16 * kGiB};
}

TEST(KvPlan, TakesAQuarterOfTheMemory) {
  const auto plan = PlanKvBlocks(Small());
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->blocks, 4 * kGiB / 368'640);
}

TEST(KvPlan, OfADevicesOwnMemoryBlocksTakeWhatIsLeft) {
  KvDemand demand = Small();
  demand.memory_is_ours = true;
  demand.max_sequences = 128;  // which could use more
  const auto plan = PlanKvBlocks(demand);
  ASSERT_TRUE(plan.ok());
  EXPECT_GT(plan->blocks * demand.block_bytes, 13 * kGiB);
  demand.asked_blocks = plan->blocks + 1;  // one more doesn't fit
  EXPECT_FALSE(PlanKvBlocks(demand).ok());
}

// Each thing is counted where it stands, and no other.
TEST(KvPlan, ADeviceAndItsHostEachHoldTheirOwn) {
  KvDemand all = Small();
  all.request_bytes = 1000;
  all.load_bytes = 5000;
  all.exchange_bytes = 77;
  const SplitDemand split = SplitBetween(all, {.memory_bytes = 80 * kGiB,
                                               .fixed_bytes = kGiB / 2,
                                               .scratch_token_bytes = 300,
                                               .scratch_sequence_bytes = 40'000,
                                               .host_token_bytes = 20,
                                               .host_sequence_bytes = 100'000,
                                               .staging_bytes = 2'000'000,
                                               .staging_sequence_bytes = 600'000});
  EXPECT_EQ(split.device.memory_bytes, 80 * kGiB);
  EXPECT_TRUE(split.device.memory_is_ours);
  EXPECT_EQ(split.device.weight_bytes, all.weight_bytes);
  EXPECT_EQ(split.device.block_bytes, all.block_bytes);
  EXPECT_EQ(split.device.token_bytes, 20'300);
  EXPECT_EQ(split.device.sequence_bytes, 340'000);
  EXPECT_EQ(split.device.exchange_bytes, kGiB / 2);
  EXPECT_EQ(split.device.request_bytes + split.device.sampler_bytes + split.device.load_bytes, 0);
  EXPECT_EQ(split.host.memory_bytes, all.memory_bytes);
  EXPECT_EQ(split.host.weight_bytes, 0);
  EXPECT_EQ(split.host.token_bytes, 20);
  EXPECT_EQ(split.host.sequence_bytes, 700'000);
  EXPECT_EQ(split.host.sampler_bytes, 2'000'000);
  EXPECT_EQ(split.host.request_bytes, 1000);
  EXPECT_EQ(split.host.load_bytes, 5000);
  EXPECT_TRUE(PlanKvBlocks(split.host).ok());
  KvDemand small_host = split.host;
  small_host.memory_bytes = 40'000'000;  // 64 sequences need more
  EXPECT_FALSE(PlanKvBlocks(small_host).ok());
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

TEST(KvPlan, TakesWhatTheWeightsLeaveWhereThatIsLessThanAQuarter) {
  KvDemand demand = Small();
  demand.weight_bytes = 11 * kGiB;
  const auto plan = PlanKvBlocks(demand);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_GT(plan->blocks, BlocksFor(demand.max_context));
  EXPECT_LT(plan->blocks, 4 * kGiB / demand.block_bytes);
  demand.asked_blocks = plan->blocks + 1;  // one more doesn't fit
  EXPECT_FALSE(PlanKvBlocks(demand).ok());
}

TEST(KvPlan, RefusesWhereTheWeightsLeaveLessThanOneContext) {
  KvDemand demand = Small();
  demand.weight_bytes = 14 * kGiB;
  demand.max_context = 100'000;
  EXPECT_THAT(std::string(PlanKvBlocks(demand).status().message()),
              testing::HasSubstr("for a shorter context"));
}

TEST(KvPlan, WhatSamplesOrExchangesIsNotTheBlocks) {
  for (int64_t KvDemand::*const bytes : {&KvDemand::sampler_bytes, &KvDemand::exchange_bytes}) {
    KvDemand demand = Small();
    demand.weight_bytes = 11 * kGiB;
    const int32_t before = PlanKvBlocks(demand)->blocks;
    demand.*bytes += 1000 * demand.block_bytes;
    EXPECT_EQ(PlanKvBlocks(demand)->blocks, before - 1000);
    demand.*bytes = 5 * kGiB;
    EXPECT_FALSE(PlanKvBlocks(demand).ok());
  }
}

// Else a step of few tokens could want more rows than there is scratch memory for.
TEST(KvPlan, RowsThatAreWantedAreTokensWhereABatchHasFewer) {
  KvDemand demand = Small();
  demand.weight_bytes = 11 * kGiB;
  demand.token_bytes = demand.block_bytes;
  demand.max_batch_tokens = 64 + 32;
  const int32_t before = PlanKvBlocks(demand)->blocks;
  demand.max_batch_tokens = 64;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, before);
  demand.scored_rows = 0;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, before + 32);
}

TEST(KvPlan, RequestsThatWaitAreNotTheBlocks) {
  KvDemand demand = Small();
  demand.weight_bytes = 11 * kGiB;
  const int32_t before = PlanKvBlocks(demand)->blocks;
  demand.request_bytes = 10 * demand.block_bytes;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, before - 10 * 2 * 64) << "as many wait as run";
}

// Room that loading takes is room for blocks afterwards.
TEST(KvPlan, WhatIsConvertedNeedsRoomOnlyWhileItLoads) {
  KvDemand demand = Small();
  demand.weight_bytes = 11 * kGiB;
  const int32_t before = PlanKvBlocks(demand)->blocks;
  const int64_t free = demand.memory_bytes / 10 * 9 - demand.weight_bytes;
  demand.load_bytes = free;
  EXPECT_EQ(PlanKvBlocks(demand)->blocks, before);
  demand.load_bytes = free + 1;
  EXPECT_THAT(std::string(PlanKvBlocks(demand).status().message()),
              testing::HasSubstr("the weights need 11.00 GiB, while they are converted 3.40 GiB more, and"));
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

std::string Refusal(const KvDemand& demand) {
  const auto plan = PlanKvBlocks(demand);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  return std::string(plan.status().message());
}

// The number that follows `flag` in a text's last mention of it.
int64_t Advised(const std::string& text, const std::string& flag) {
  const size_t at = text.rfind(flag + " ");
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + flag.size() + 1));
}

TEST(KvPlan, TheNumbersItAdvisesFitAndOneMoreDoesNot) {
  KvDemand demand = Small();
  demand.asked_blocks = 1'000'000;
  demand.asked_blocks = Advised(Refusal(demand), "--kv-blocks");
  EXPECT_TRUE(PlanKvBlocks(demand).ok());
  ++demand.asked_blocks;
  EXPECT_FALSE(PlanKvBlocks(demand).ok());

  demand = Small();
  demand.asked_blocks = 1;
  demand.max_batch_tokens = 2'000'000'000;
  demand.max_batch_tokens = Advised(Refusal(demand), "--max-batch-tokens");
  EXPECT_TRUE(PlanKvBlocks(demand).ok());
  ++demand.max_batch_tokens;
  EXPECT_FALSE(PlanKvBlocks(demand).ok());

  demand.max_batch_tokens = demand.max_sequences = 2'000'000'000;
  const std::string refusal = Refusal(demand);
  demand.max_batch_tokens = Advised(refusal, "--max-batch-tokens");
  demand.max_sequences = Advised(refusal, "--max-sequences");
  EXPECT_TRUE(PlanKvBlocks(demand).ok());
  demand.max_sequences = ++demand.max_batch_tokens;
  EXPECT_FALSE(PlanKvBlocks(demand).ok());
}

TEST(KvPlan, TheNumbersItAdvisesCountWhatWaitsAndNotWhatLoads) {
  KvDemand demand = Small();
  demand.request_bytes = 300'000;
  demand.load_bytes = 10 * kGiB;
  demand.asked_blocks = 1;
  demand.max_batch_tokens = demand.max_sequences = 2'000'000'000;
  demand.max_batch_tokens = demand.max_sequences = Advised(Refusal(demand), "--max-sequences");
  EXPECT_TRUE(PlanKvBlocks(demand).ok());
  ++demand.max_batch_tokens;
  ++demand.max_sequences;
  EXPECT_FALSE(PlanKvBlocks(demand).ok());
}

TEST(KvPlan, SaysSoWhereTheWeightsAloneDoNotFit) {
  KvDemand demand = Small();
  demand.weight_bytes = 65 * kGiB;
  const std::string refusal = Refusal(demand);
  EXPECT_THAT(refusal, testing::HasSubstr("the weights need 65.00 GiB"));
  EXPECT_THAT(refusal, testing::HasSubstr("at least 72.22 GiB"));
}

TEST(KvPlan, MemoryIsTheLeastThatAnyCgroupAroundAllows) {
  const std::filesystem::path root =
      std::filesystem::path(testing::TempDir()) / absl::StrCat("quire-cgroups-", getpid());
  const auto write = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  };
  const auto memory = [&] { return ReadHostMemory(root.string()); };
  write("proc/self/cgroup", "1:name=systemd:/x\n0::/a/b\n");
  const int64_t machine = memory();
  write("sys/fs/cgroup/memory.max", "1048576\n");
  EXPECT_EQ(memory(), 1048576);
  write("sys/fs/cgroup/a/memory.max", "524288\n");
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_EQ(memory(), 524288);
  write("sys/fs/cgroup/a/b/memory.max", "4096\n");
  EXPECT_EQ(memory(), 4096);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(memory(), 1048576);
  EXPECT_GT(machine, 1048576);
  write("proc/self/cgroup", "5:cpu:/x\n4:memory:/c/d\n0::/\n");
  write("sys/fs/cgroup/memory/c/d/memory.limit_in_bytes", "9223372036854771712\n");  // v1's "max"
  EXPECT_EQ(memory(), 1048576);
  write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "8192\n");
  EXPECT_EQ(memory(), 8192);
  std::filesystem::remove_all(root);
}

TEST(KvPlan, RefusesAContextOfNothing) {
  KvDemand demand = Small();
  demand.max_context = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(PlanKvBlocks(demand).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace quire::worker
