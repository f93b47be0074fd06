// A whole model on the CUDA backend, whose kernels run on fibers here: near the fp64 reference, and the same
// bits however a prompt is cut into steps.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"
#include "tests/golden/rank_threads.h"
#include "worker/model/test_checkpoint.h"

namespace quire::golden {
namespace {

using worker::TestCheckpoint;
using worker::TestShape;

constexpr int64_t kTokens = 21;  // a block and a part of one
constexpr TestShape kQwen2{
    .hidden = 128, .query_heads = 4, .kv_heads = 2, .ffn = 160, .rounds = true, .head_dim = 64};
constexpr TestShape kQwen3{.hidden = 128,
                           .query_heads = 3,
                           .kv_heads = 1,
                           .ffn = 96,
                           .rounds = true,
                           .head_norms = true,
                           .head_dim = 128};

absl::StatusOr<std::unique_ptr<kernels::Backend>> MakeFibers() {
  constexpr kernels::cuda::DeviceSize kDevice{2, kernels::cuda::kSharedBytesSm80};
  return kernels::cuda::MakeCudaBackend(kernels::cuda::Stream(1, kDevice),
                                        std::make_unique<kernels::cuda::SkinnyGemms>(kDevice), "fibers");
}

std::vector<float> Logits(const TestCheckpoint& checkpoint, Chunks chunks, const BackendMaker& make_backend) {
  std::vector<int32_t> ids(kTokens);
  for (int64_t i = 0; i < kTokens; ++i) ids[i] = static_cast<int32_t>(i * 7 % 50);
  std::vector<int64_t> positions(kTokens);
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<float> logits;
  const GroupSetup setup{.model_dir = checkpoint.dir(),
                         .rope_scaling = "",
                         .ranks = 1,
                         .max_tokens = 32,
                         .make_backend = make_backend};
  const absl::Status status = RunRanks(setup, [&](RankModel& model) -> absl::Status {
    absl::StatusOr<std::vector<float>> found = model.Logits(ids, positions, chunks);
    if (found.ok()) logits = *std::move(found);
    return found.status();
  });
  EXPECT_TRUE(status.ok()) << status;
  return logits;
}

class CudaFibersTest : public testing::TestWithParam<TestShape> {};

TEST_P(CudaFibersTest, AnswersAsTheReferenceInAnyChunks) {
  const TestCheckpoint checkpoint("BF16", GetParam());
  const std::vector<float> whole = Logits(checkpoint, {kTokens, 1}, MakeFibers);
  const std::vector<float> want = Logits(
      checkpoint, {kTokens, 1},
      []() -> absl::StatusOr<std::unique_ptr<kernels::Backend>> { return kernels::MakeReferenceBackend(); });
  ASSERT_EQ(whole.size(), want.size());
  EXPECT_LT(kernels::RelativeError(whole, want), 1e-2);
  for (const Chunks chunks : {Chunks{1, 1}, Chunks{13, 5}}) {
    EXPECT_TRUE(Logits(checkpoint, chunks, MakeFibers) == whole)
        << "chunks of " << chunks.first << " and " << chunks.rest;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CudaFibersTest, testing::Values(kQwen2, kQwen3),
                         [](const auto& info) { return info.param.head_norms ? "Qwen3" : "Qwen2"; });

}  // namespace
}  // namespace quire::golden
