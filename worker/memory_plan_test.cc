#include "worker/memory_plan.h"

#include <gtest/gtest.h>

#include "worker/model/test_checkpoint.h"

namespace quire::worker {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

// A context takes 4 GiB of KV, and its weights nearly nothing.
class MemoryPlanTest : public testing::Test {
 protected:
  MemoryPlanTest()
      : files_("BF16", {.hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 512, .head_dim = 64}),
        checkpoint_(*files_.Open()) {
    checkpoint_.config.max_context = 1 << 20;
    config_.limits.max_batch_tokens = 64;
    config_.limits.max_sequences = 2;
  }

  const TestCheckpoint files_;
  Checkpoint checkpoint_;
  WorkerConfig config_;
};

// Each row that may be sampled takes room of blocks; the host must have its part, too.
TEST_F(MemoryPlanTest, WhatABackendTakesIsCounted) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  device.memory_bytes = device.free_bytes = 6 * kGiB;
  config_.ranks = 1;
  const int64_t block_bytes = 4 * kGiB / ((1 << 20) / kBlockTokens);
  const int64_t rows = config_.limits.wanted_rows();
  const auto blocks = [&] { return int64_t{PlanRankMemory(config_, checkpoint_, 50, device)->blocks}; };
  const int64_t without = blocks();
  const auto expect_fewer = [&](int64_t bytes) {
    EXPECT_NEAR(static_cast<double>(without - blocks()),
                static_cast<double>(bytes) / static_cast<double>(block_bytes), 1.0);
    device.scratch = {};
  };
  device.scratch.row_bytes = kGiB / rows / 4;
  expect_fewer(kGiB / 4);
  device.scratch.row_bytes_per_run = kGiB / rows / 4;  // 50 ids are one run
  expect_fewer(kGiB / 4);
  device.scratch.fixed_bytes = kGiB / 2;
  expect_fewer(kGiB / 2);
  device.scratch.bytes_per_hidden = kGiB / 1024;
  expect_fewer(kGiB / 4);
  device.scratch.token_bytes_per_ffn = kGiB / 512 / 256;
  expect_fewer(kGiB / 4);
  // More than any machine has; a table's blocks are 65,536.
  constexpr int64_t kMore = int64_t{1} << 50, kMoreOfBlocks = kMore >> 16;
  for (int64_t kernels::DeviceScratch::*of_host :
       {&kernels::DeviceScratch::host_fixed_bytes, &kernels::DeviceScratch::host_row_bytes,
        &kernels::DeviceScratch::host_row_bytes_per_run, &kernels::DeviceScratch::host_token_bytes,
        &kernels::DeviceScratch::host_sequence_bytes, &kernels::DeviceScratch::host_block_bytes}) {
    device.scratch.*of_host = of_host == &kernels::DeviceScratch::host_block_bytes ? kMoreOfBlocks : kMore;
    const absl::Status refused = PlanRankMemory(config_, checkpoint_, 50, device).status();
    EXPECT_NE(refused.message().find("of the host's memory"), absl::string_view::npos) << refused;
    device.scratch = {};
  }
}

// Through tensors of tokens.
TEST_F(MemoryPlanTest, RowsThatAreWantedAreCountedWhereABatchHasFewerTokens) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  device.memory_bytes = device.free_bytes = 6 * kGiB;
  config_.ranks = 1;
  config_.limits.max_batch_tokens = config_.limits.max_sequences;
  const int32_t without = PlanRankMemory(config_, checkpoint_, 50, device)->blocks;
  device.scratch.token_bytes_per_ffn = kGiB / 512 / 256;
  const int64_t block_bytes = 4 * kGiB / ((1 << 20) / kBlockTokens);
  EXPECT_NEAR(without - PlanRankMemory(config_, checkpoint_, 50, device)->blocks,
              static_cast<double>(config_.limits.wanted_rows() * (kGiB / 256) / block_bytes), 1.0);
}

// A check asks what there could be, a rank what there is.
TEST_F(MemoryPlanTest, WhatOthersTookOfADeviceIsSaid) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  device.memory_bytes = 6 * kGiB;
  device.free_bytes = kGiB / 4;
  config_.ranks = 1;
  const absl::Status refused = PlanRankMemory(config_, checkpoint_, 50, device).status();
  EXPECT_NE(refused.message().find("of the GPU's 6144 MiB 5888 were taken before"), absl::string_view::npos)
      << refused;
  config_.check = true;
  EXPECT_TRUE(PlanRankMemory(config_, checkpoint_, 50, device).ok());
}

// Else `auto` would start groups of so few GPUs that none of them can load.
TEST_F(MemoryPlanTest, ACheckPassesNothingThatTheDriversPartMakesFail) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  device.memory_bytes = 8 * kGiB;
  config_.ranks = 1;
  config_.limits.max_sequences = 32;  // the plan is of as many contexts as there is room for, not of fewer
  const auto blocks_of = [&](bool check, int64_t taken) {
    config_.check = check;
    device.free_bytes = device.memory_bytes - taken;
    return int64_t{PlanRankMemory(config_, checkpoint_, 50, device)->blocks};
  };
  EXPECT_LT(blocks_of(true, 0), blocks_of(false, 0));
  for (const int64_t gib : {8, 24, 80}) {
    device.memory_bytes = gib * kGiB;
    EXPECT_LE(blocks_of(true, 0), blocks_of(false, std::max(kGiB / 2, device.memory_bytes / 64))) << gib;
  }
}

// One rank exchanges nothing.
TEST_F(MemoryPlanTest, WhatRanksExchangeByIsCounted) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  for (const int64_t ranks : {1, 2, 4, 8}) {
    config_.ranks = ranks;
    device.memory_bytes = device.free_bytes = 7 * kGiB / ranks;
    device.scratch = {};
    const int64_t without = PlanRankMemory(config_, checkpoint_, 50, device)->blocks;
    device.scratch.group_bytes = kGiB / ranks;
    device.scratch.group_bytes_per_doubling = kGiB / ranks / 4;
    const int64_t fewer = without - PlanRankMemory(config_, checkpoint_, 50, device)->blocks;
    const double doublings = ranks == 8 ? 3 : static_cast<double>(ranks) / 2;
    const double context_blocks = (1 << 20) / kBlockTokens;  // of 4 GiB, of all ranks
    EXPECT_NEAR(static_cast<double>(fewer), ranks == 1 ? 0 : (1 + doublings / 4) / 4 * context_blocks, 1.0)
        << ranks;
  }
}

TEST_F(MemoryPlanTest, ARankOnADeviceCountsItsOwnPartAlone) {
  kernels::DeviceChoice device;
  device.name = "cuda";
  device.memory_bytes = device.free_bytes = 8 * kGiB;
  for (const int64_t ranks : {1, 4}) {
    config_.ranks = ranks;
    const absl::StatusOr<KvPlan> plan = PlanRankMemory(config_, checkpoint_, 50, device);
    ASSERT_TRUE(plan.ok()) << plan.status();
    // A context of each of two sequences; one rank has not the room for both.
    EXPECT_EQ(plan->blocks >= 2 * (1 << 20) / kBlockTokens, ranks == 4) << plan->blocks;
  }
}

}  // namespace
}  // namespace quire::worker
