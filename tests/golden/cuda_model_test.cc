// A whole model on the CUDA backend: near the fp64 reference, and the same bits however a prompt is cut into
// steps, and on however many ranks. With its kernels on fibers it is a test (cuda_on_fibers.cc), by
// libquire-cuda.so the program quire-cuda-model, for machines with a GPU (cuda_on_gpu.cc, scripts/gpu/check).
#include <gtest/gtest.h>

#include "base/core/test_log.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"
#include "tests/golden/cuda_model.h"
#include "tests/golden/rank_threads.h"
#include "worker/model/test_checkpoint.h"

namespace quire::golden {
namespace {

using worker::TestCheckpoint;
using worker::TestShape;

constexpr TestShape kQwen2{
    .hidden = 128, .query_heads = 4, .kv_heads = 2, .ffn = 160, .rounds = true, .head_dim = 64};
constexpr TestShape kQwen3{.hidden = 128,
                           .query_heads = 3,
                           .kv_heads = 1,
                           .ffn = 96,
                           .rounds = true,
                           .head_norms = true,
                           .head_dim = 128};

// QwQ's leaves.
constexpr TestShape kEightLeaves{
    .hidden = 256, .query_heads = 16, .kv_heads = 8, .ffn = 512, .rounds = true, .head_dim = 64};

std::vector<float> Logits(const TestCheckpoint& checkpoint, int ranks, Chunks chunks,
                          const DeviceMaker& make_device) {
  const GroupSetup setup{.model_dir = checkpoint.dir(),
                         .rope_scaling = "",
                         .ranks = ranks,
                         .max_tokens = 128,
                         .make_device = make_device};
  absl::StatusOr<std::vector<float>> logits = LogitsOfPrompt(setup, kTested.tokens, chunks);
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? *std::move(logits) : std::vector<float>();
}

class CudaModelTest : public testing::TestWithParam<TestShape> {};

TEST_P(CudaModelTest, AnswersAsTheReferenceInAnyChunks) {
  const TestCheckpoint checkpoint("BF16", GetParam());
  const Chunks at_once{kTested.tokens, 1};
  const std::vector<float> whole = Logits(checkpoint, 1, at_once, kTested.make);
  const std::vector<float> want =
      Logits(checkpoint, 1, at_once, OnHost([]() -> absl::StatusOr<std::unique_ptr<kernels::Backend>> {
               return kernels::MakeReferenceBackend();
             }));
  ASSERT_EQ(whole.size(), want.size());
  EXPECT_LT(kernels::RelativeError(whole, want), 1e-2);
  for (const Chunks chunks : {Chunks{1, 1}, Chunks{13, 5}, Chunks{kTested.tokens - 2, 1}}) {
    EXPECT_TRUE(Logits(checkpoint, 1, chunks, kTested.make) == whole)
        << "chunks of " << chunks.first << " and " << chunks.rest;
  }
}

TEST(CudaRanks, AnyNumberAnswersAlike) {
  const TestCheckpoint checkpoint("BF16", kEightLeaves);
  const Chunks chunks{kTested.tokens - 2, 1};
  const std::vector<float> alone = Logits(checkpoint, 1, chunks, kTested.make);
  ASSERT_FALSE(alone.empty());
  for (const int ranks : {2, 4, 8}) {
    EXPECT_TRUE(Logits(checkpoint, ranks, chunks, kTested.make) == alone) << ranks << " ranks";
  }
}

// Whose ranks exchange over NCCL: a false one on fibers; on a GPU the library, which takes several ranks on
// one from 2.30.3 on, where NCCL_MULTI_RANK_GPU_ENABLE=1 says so. Three steps of one token are alike: what is
// to be captured would be captured and launched.
class CudaNccl : public testing::TestWithParam<int> {};

TEST_P(CudaNccl, AnswersAlike) {
  const TestCheckpoint checkpoint("BF16", kEightLeaves);
  const Chunks chunks{kTested.tokens - 3, 1};
  const std::vector<float> alone = Logits(checkpoint, 1, chunks, kTested.make);
  ASSERT_FALSE(alone.empty());
  const CapturedLog log;
  EXPECT_TRUE(Logits(checkpoint, GetParam(), chunks, kTested.make_apart(GetParam())) == alone);
  const std::string said = log.Text();
  if (said.find("Duplicate GPU") != std::string::npos) GTEST_SKIP() << said;
  EXPECT_NE(said.find("\"through\":\"NCCL\""), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(Ranks, CudaNccl, testing::Values(1, 2));

INSTANTIATE_TEST_SUITE_P(Shapes, CudaModelTest, testing::Values(kQwen2, kQwen3, kEightLeaves));

}  // namespace
}  // namespace quire::golden
