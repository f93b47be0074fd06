// Products through a library beside the decode GEMM alone, to the bit. The library here is the decode GEMM's
// own chain, once for each leaf: what cuBLASLt's algorithms of kind 66 were seen to sum.
#include "kernels/cuda/lt/lt_gemms.h"

#include <gtest/gtest.h>

#include "kernels/cuda/gemm/skinny_gemm_launch.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kDevice{2, kSharedBytesSm80};

template <typename Out>
void MultiplyLeaf(Stream& stream, const LtProduct& p, int leaf) {
  const int64_t stride = int64_t{p.k} * p.leaves, from = int64_t{leaf} * p.k;
  for (int row = 0; row < p.m; row += kSkinnyMaxRows) {
    const SkinnyGemmParams<Out> params{static_cast<const uint16_t*>(p.weights) + from,
                                       static_cast<const uint16_t*>(p.x) + from + row * stride,
                                       static_cast<Out*>(p.y) + (int64_t{leaf} * p.m + row) * p.y_stride,
                                       nullptr,
                                       std::min(p.m - row, kSkinnyMaxRows),
                                       p.n,
                                       p.k,
                                       stride,
                                       stride,
                                       p.y_stride};
    LaunchSkinnyGemm(stream, params, 1, kDevice);
  }
}

class LtGemmsTest : public testing::Test {
 protected:
  LtMultiply Library() {
    return [this](Stream& stream, const LtProduct& product) {
      ++asked_;
      if (answer_ != LtAnswer::kDone) return answer_;
      for (int leaf = 0; leaf < product.leaves; ++leaf) {
        product.y_is_bf16 ? MultiplyLeaf<uint16_t>(stream, product, leaf)
                          : MultiplyLeaf<float>(stream, product, leaf);
      }
      return answer_;
    };
  }
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
  int asked_ = 0;
  LtAnswer answer_ = LtAnswer::kDone;
};

TEST_F(LtGemmsTest, EveryNumberOfLeavesHasTheDecodeGemmsBits) {
  LtGemms gemms(Library(), kDevice, SharedSums::kTree);
  SkinnyGemms alone(kDevice);
  for (const int leaves : {1, 2, 4, 8}) {
    for (const int m : {16, 17, 33, 40}) {
      const int before = asked_;
      EXPECT_EQ(Product(gemms, m, 20, 256, leaves, m % 2 == 1),
                Product(alone, m, 20, 256, leaves, m % 2 == 1))
          << leaves << " leaves, m " << m;
      EXPECT_EQ(asked_ > before, m > (leaves == 1 ? 16 : 32)) << leaves << " leaves, m " << m;
    }
  }
  EXPECT_EQ(stream_.Synchronize(), "");
}

// A tree's leaves have room for 1024 rows at once.
TEST_F(LtGemmsTest, MoreRowsThanATreeTakesAtOnceAreTheSame) {
  LtGemms gemms(Library(), kDevice, SharedSums::kTree);
  SkinnyGemms alone(kDevice);
  EXPECT_EQ(Product(gemms, 1030, 4, 64, 2, true), Product(alone, 1030, 4, 64, 2, true));
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(stream_.Synchronize(), "");
}

// As a gate's products are.
TEST_F(LtGemmsTest, WritesBf16) {
  LtGemms gemms(Library(), kDevice, SharedSums::kTree);
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
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(stream_.Synchronize(), "");
}

TEST_F(LtGemmsTest, WhatTheLibraryCantDoIsTheDecodeGemms) {
  LtGemms gemms(Library(), kDevice, SharedSums::kTree);
  SkinnyGemms alone(kDevice);
  EXPECT_EQ(Product(gemms, 40, 20, 288, 8, true), Product(alone, 40, 20, 288, 8, true)) << "nine steps";
  EXPECT_EQ(Product(gemms, 40, 18, 256, 8, true), Product(alone, 40, 18, 256, 8, true)) << "18 columns";
  EXPECT_EQ(asked_, 0);
  answer_ = LtAnswer::kNoChain;
  for (const int leaves : {1, 4}) {
    EXPECT_EQ(Product(gemms, 40, 20, 256, leaves, true), Product(alone, 40, 20, 256, leaves, true));
  }
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(stream_.Synchronize(), "");
}

TEST_F(LtGemmsTest, AFailureIsSaid) {
  LtGemms gemms(Library(), kDevice, SharedSums::kTree);
  answer_ = LtAnswer::kFailed;
  Product(gemms, 40, 20, 256, 1, false);
  EXPECT_NE(stream_.Synchronize(), "");
}

}  // namespace
}  // namespace quire::kernels::cuda
