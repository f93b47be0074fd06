#include "kernels/cuda/backend/gpu_choice.h"

#include <gtest/gtest.h>

namespace quire::kernels::cuda {
namespace {

TEST(GpuChoice, AGpuIsCalledAsNvidiaSmiCallsIt) {
  const char uuid[17] = "\x89\x32\xf9\x37\xd7\x2c\x41\x06\xc1\x2f\x20\xbd\x9f\xae\xd9\x06";
  EXPECT_EQ(GpuId(uuid), "GPU-8932f937-d72c-4106-c12f-20bd9faed906");
}

}  // namespace
}  // namespace quire::kernels::cuda
