// One answer for every number of ranks: the leaves of kernels/backend.h, over whole models.
#include <gtest/gtest.h>

#include "kernels/backend_factory.h"
#include "kernels/cpu/test_util.h"
#include "kernels/reference/reference_backend.h"
#include "tests/golden/rank_threads.h"
#include "worker/model/test_checkpoint.h"

namespace quire::golden {
namespace {

using worker::TestCheckpoint;
using worker::TestShape;

// So many values that a sum in another order shows: it has to cross a border of bf16, in one of 30,000 or so.
constexpr int64_t kTokens = 120;
constexpr TestShape kEightLeaves{
    .hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 1024, .rounds = true};
// Each of the eight is whole groups of int8.
constexpr TestShape kInt8{.hidden = 256, .query_heads = 32, .kv_heads = 8, .ffn = 1024, .rounds = true};
constexpr TestShape kWithHeadNorms{
    .hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 1024, .rounds = true, .head_norms = true};

std::vector<float> Logits(const TestCheckpoint& checkpoint, int ranks, Chunks chunks,
                          const BackendMaker& make_backend, const std::string& weights = "bf16") {
  const GroupSetup setup{.model_dir = checkpoint.dir(),
                         .rope_scaling = "",
                         .ranks = ranks,
                         .max_tokens = 128,
                         .make_device = OnHost(make_backend),
                         .weights = weights};
  absl::StatusOr<std::vector<float>> logits = LogitsOfPrompt(setup, kTokens, chunks);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? *std::move(logits) : std::vector<float>();
}

BackendMaker Cpu(const std::string& isa, int threads) {
  return [isa, threads] { return kernels::MakeBackend({.threads = threads, .spin_us = 0, .isa = isa}); };
}

class RankCountsTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const auto backend = Cpu(GetParam(), 1)(); !backend.ok()) GTEST_SKIP() << backend.status();
  }
};

TEST_P(RankCountsTest, OneTwoFourAndEightRanksGiveTheSameBits) {
  const TestCheckpoint checkpoint("BF16", kEightLeaves);
  const std::vector<float> one = Logits(checkpoint, 1, {kTokens, 1}, Cpu(GetParam(), 1));
  for (const int ranks : {1, 2, 4, 8}) {
    for (const Chunks chunks : {Chunks{kTokens, 1}, Chunks{37, 25}, Chunks{1, 1}}) {
      EXPECT_TRUE(Logits(checkpoint, ranks, chunks, Cpu(GetParam(), 2)) == one)
          << ranks << " ranks, chunks of " << chunks.first << " and " << chunks.rest;
    }
  }
  EXPECT_FALSE(Logits(checkpoint, 3, {kTokens, 1}, Cpu(GetParam(), 1)) == one)
      << "the order of a sum matters here";
}

TEST_P(RankCountsTest, HeadNormsToo) {
  const TestCheckpoint checkpoint("BF16", kWithHeadNorms);
  const std::vector<float> one = Logits(checkpoint, 1, {kTokens, 1}, Cpu(GetParam(), 1));
  for (const int ranks : {2, 4, 8}) {
    EXPECT_TRUE(Logits(checkpoint, ranks, {37, 25}, Cpu(GetParam(), 2)) == one) << ranks << " ranks";
  }
  EXPECT_FALSE(Logits(checkpoint, 3, {kTokens, 1}, Cpu(GetParam(), 1)) == one)
      << "the order of a sum matters here";
}

TEST_P(RankCountsTest, FewerLeavesServeAsManyRanks) {
  // 66 strips of 16: two leaves.
  const TestCheckpoint checkpoint(
      "BF16", TestShape{.hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 1056, .rounds = true});
  const std::vector<float> one = Logits(checkpoint, 1, {kTokens, 1}, Cpu(GetParam(), 1));
  EXPECT_TRUE(Logits(checkpoint, 2, {37, 25}, Cpu(GetParam(), 1)) == one);
  EXPECT_FALSE(Logits(checkpoint, 4, {kTokens, 1}, Cpu(GetParam(), 1)) == one) << "which its id says";
}

TEST_P(RankCountsTest, Int8Too) {
  const TestCheckpoint checkpoint("BF16", kInt8);
  const std::vector<float> one = Logits(checkpoint, 1, {kTokens, 1}, Cpu(GetParam(), 1), "int8");
  for (const int ranks : {1, 2, 4, 8}) {
    EXPECT_TRUE(Logits(checkpoint, ranks, {37, 25}, Cpu(GetParam(), 2), "int8") == one) << ranks << " ranks";
  }
  EXPECT_FALSE(Logits(checkpoint, 3, {kTokens, 1}, Cpu(GetParam(), 1), "int8") == one)
      << "the order of a sum matters here";
  EXPECT_FALSE(Logits(checkpoint, 1, {kTokens, 1}, Cpu(GetParam(), 1)) == one);
}

TEST_P(RankCountsTest, LeavesAreTheReferencesSumsWithinRounding) {
  const TestCheckpoint checkpoint("BF16", kEightLeaves);
  const auto reference = [] { return kernels::MakeReferenceBackend(); };
  const std::vector<float> want = Logits(checkpoint, 1, {kTokens, 1}, reference);
  const std::vector<float> got = Logits(checkpoint, 4, {kTokens, 1}, Cpu(GetParam(), 1));
  ASSERT_EQ(want.size(), got.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (double{got[i]} - want[i]) * (double{got[i]} - want[i]);
    size += double{want[i]} * want[i];
  }
  EXPECT_LT(difference / size, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Isa, RankCountsTest, testing::ValuesIn(kernels::cpu::TestedIsas()),
                         [](const auto& info) { return kernels::cpu::TestNameOf(info.param); });

}  // namespace
}  // namespace quire::golden
