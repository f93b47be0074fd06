// Products through a library (testing/fake_lt.h) beside the decode GEMM alone, to the bit; and what is chosen
// for before the first of them.
#include "kernels/cuda/lt/lt_gemms.h"

#include <gtest/gtest.h>

#include "kernels/cuda/gemm/skinny_gemm_launch.h"
#include "kernels/cuda/lt/testing/fake_lt.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kDevice{2, kSharedBytesSm80};

class LtGemmsTest : public testing::Test {
 protected:
  LtGemms Made() {
    return LtGemms(std::make_shared<LtChoices>(lt_.Calls(), LtChoicesOptions()), kDevice, SharedSums::kTree);
  }
  int asked() const { return static_cast<int>(lt_.ran.size()); }
  // y, by `gemms`.
  std::vector<float> Product(Gemm& gemms, int m, int n, int k, int leaves, bool bias) {
    const auto x = RandomBf16(int64_t{m} * k, 1), w = RandomBf16(int64_t{n} * k, 2);
    const auto b = RandomFloats(n, 3);
    std::vector<float> y(static_cast<size_t>(m) * n, -1);
    gemms.Run(stream_,
              {.weights = w.data(),
               .x = x.data(),
               .y = y.data(),
               .y_is_bf16 = false,
               .m = m,
               .n = n,
               .k = k,
               .y_stride = n,
               .leaves = leaves,
               .bias = bias ? b.data() : nullptr},
              Order::kAfter);
    return y;
  }

  Stream stream_{1, kDevice};
  FakeLt lt_;
};

TEST_F(LtGemmsTest, EveryNumberOfLeavesHasTheDecodeGemmsBits) {
  LtGemms gemms = Made();
  SkinnyGemms alone(kDevice);
  for (const int leaves : {1, 2, 4, 8}) {
    for (const int m : {16, 17, 33, 40}) {
      const int before = asked();
      EXPECT_EQ(Product(gemms, m, 20, 256, leaves, m % 2 == 1),
                Product(alone, m, 20, 256, leaves, m % 2 == 1))
          << leaves << " leaves, m " << m;
      EXPECT_EQ(asked() > before, m > (leaves == 1 ? 16 : 32)) << leaves << " leaves, m " << m;
    }
  }
  EXPECT_EQ(stream_.Synchronize(), "");
}

// A tree's leaves have room for 1024 rows at once.
TEST_F(LtGemmsTest, MoreRowsThanATreeTakesAtOnceAreTheSame) {
  LtGemms gemms = Made();
  SkinnyGemms alone(kDevice);
  EXPECT_EQ(Product(gemms, 1030, 4, 64, 2, true), Product(alone, 1030, 4, 64, 2, true));
  EXPECT_EQ(asked(), 2);
  EXPECT_EQ(stream_.Synchronize(), "");
}

// As a gate's products are.
TEST_F(LtGemmsTest, WritesBf16) {
  LtGemms gemms = Made();
  SkinnyGemms alone(kDevice);
  const auto x = RandomBf16(40 * 64, 1), w = RandomBf16(24 * 64, 2);
  std::vector<uint16_t> y[2];
  for (const int i : {0, 1}) {
    y[i].assign(40 * 24, 0);
    Gemm& by = i == 0 ? static_cast<Gemm&>(gemms) : alone;
    by.Run(stream_,
           {.weights = w.data(),
            .x = x.data(),
            .y = y[i].data(),
            .y_is_bf16 = true,
            .m = 40,
            .n = 24,
            .k = 64,
            .y_stride = 24,
            .leaves = 1},
           Order::kAfter);
  }
  EXPECT_EQ(y[0], y[1]);
  EXPECT_EQ(asked(), 1);
  EXPECT_EQ(stream_.Synchronize(), "");
}

TEST_F(LtGemmsTest, WhatTheLibraryCantDoIsTheDecodeGemms) {
  LtGemms gemms = Made();
  SkinnyGemms alone(kDevice);
  EXPECT_EQ(Product(gemms, 40, 20, 288, 8, true), Product(alone, 40, 20, 288, 8, true)) << "nine steps";
  EXPECT_EQ(Product(gemms, 40, 18, 256, 8, true), Product(alone, 40, 18, 256, 8, true)) << "18 columns";
  EXPECT_EQ(asked(), 0);
  lt_.offers.clear();
  for (const int leaves : {1, 4}) {
    EXPECT_EQ(Product(gemms, 40, 20, 256, leaves, true), Product(alone, 40, 20, 256, leaves, true));
  }
  EXPECT_EQ(lt_.opened, 2);
  EXPECT_EQ(asked(), 0);
  EXPECT_EQ(stream_.Synchronize(), "");
}

// Each shape that Run will ask the library for, and no other.
TEST_F(LtGemmsTest, WhatIsChosenBeforeIsAllThatRunAsksFor) {
  LtGemms gemms = Made();
  const auto x = RandomBf16(1300 * 64, 1), w = RandomBf16(8 * 64, 2);
  std::vector<float> y(1300 * 8);
  std::vector<StepGemm> all;
  for (const int leaves : {1, 2}) {
    for (const int m : {1, 16, 17, 32, 33, 64, 1300}) {
      all.push_back({.weights = w.data(),
                     .x = x.data(),
                     .y = y.data(),
                     .y_is_bf16 = false,
                     .m = m,
                     .n = 8,
                     .k = 64,
                     .y_stride = 8,
                     .leaves = leaves});
    }
  }
  gemms.Choose(stream_, all);
  EXPECT_EQ(lt_.opened, 5 + 4);  // 1300 leaves' rows are 1024 and 276
  for (const StepGemm& gemm : all) {
    if (gemm.m <= 64) gemms.Run(stream_, gemm, Order::kAfter);
  }
  EXPECT_EQ(lt_.opened, 9);
  EXPECT_EQ(lt_.timed, 9);
  EXPECT_EQ(asked(), 4 + 2);
  EXPECT_EQ(stream_.Synchronize(), "");
}

TEST_F(LtGemmsTest, AFailureIsSaid) {
  LtGemms gemms = Made();
  lt_.fails = true;
  Product(gemms, 40, 20, 256, 1, false);
  EXPECT_NE(stream_.Synchronize(), "");
}

}  // namespace
}  // namespace quire::kernels::cuda
