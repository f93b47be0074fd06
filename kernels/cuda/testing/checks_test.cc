// Every kernel on fibers against fp64: the checks that quire-cuda-check runs on a GPU.
#include <gtest/gtest.h>

#include "kernels/cuda/testing/suites.h"

namespace quire::kernels::cuda {
namespace {

void Expect(void (*check)(Checker&)) {
  int results = 0;
  Checker checker(true, 100, [&](const CheckResult& result) {
    ++results;
    EXPECT_TRUE(result.ok()) << result.kernel << " " << result.shape << ": error " << result.error
                             << ", limit " << result.limit << " " << result.note;
  });
  check(checker);
  EXPECT_GT(results, 0);
}

// One wrong element among many, which the L2 of all lets pass.
TEST(CudaKernels, TheWorstElementIsSeen) {
  std::vector<double> want(100000, 1), size(want.size(), 1.5), got = want;
  got[777] = 1.5;
  EXPECT_LT(RelativeError(got, want), 8e-3);
  EXPECT_NEAR(WorstError(got, want, size), 1.0 / 3, 1e-12);
  got[778] = NAN;
  EXPECT_TRUE(std::isnan(WorstError(got, want, size)));
  EXPECT_EQ(WorstError(want, want, size), 0);
}

TEST(CudaKernels, Rows) { Expect(CheckRows); }
TEST(CudaKernels, Rope) { Expect(CheckRope); }
TEST(CudaKernels, AttentionProducts) { Expect(CheckAttentionProducts); }
TEST(CudaKernels, Attention) { Expect(CheckAttention); }

}  // namespace
}  // namespace quire::kernels::cuda
