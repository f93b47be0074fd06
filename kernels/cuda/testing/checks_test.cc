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

TEST(CudaKernels, Rows) { Expect(CheckRows); }
TEST(CudaKernels, Rope) { Expect(CheckRope); }
TEST(CudaKernels, Attention) { Expect(CheckAttention); }

}  // namespace
}  // namespace quire::kernels::cuda
