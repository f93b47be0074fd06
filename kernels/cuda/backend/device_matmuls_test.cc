// What is chosen at start is what steps then ask for: every count of rows that they are filled up to, of
// every matmul, over a library that is made up (lt/testing/fake_lt.h).
#include "kernels/cuda/backend/device_matmuls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/backend/device_step.h"
#include "kernels/cuda/lt/lt_gemms.h"
#include "kernels/cuda/lt/testing/fake_lt.h"
#include "kernels/test_tensors.h"

namespace quire::kernels::cuda {
namespace {

constexpr DeviceSize kSmall{2, kSharedBytesSm80};

TEST(FilledCounts, AreAllThatStepsAreFilledUpTo) {
  for (const int64_t most : {0, 1, 4, 5, 31, 33, 64, 70, 512, 513, 1000}) {
    std::set<int64_t> all;
    for (int64_t rows = 1; rows <= most; ++rows) all.insert(FilledUp(rows, most));
    EXPECT_THAT(FilledCounts(most), testing::ElementsAreArray(all)) << most;
  }
}

class DeviceMatmulsTest : public testing::Test {
 protected:
  static constexpr int64_t kTokens = 70, kWanted = 20, kHidden = 64, kFfn = 32;

  DeviceMatmulsTest() {
    backend_ = MakeCudaBackend(
        std::make_unique<Stream>(1, kSmall),
        std::make_unique<LtGemms>(std::make_shared<LtChoices>(lt_.Calls(), LtChoicesOptions()), kSmall,
                                  SharedSums::kTree),
        "fibers");
    gate_up_ = Matrix(2 * kFfn, kHidden, MatrixKind::kGateUp, 1);
    down_ = Matrix(kHidden, kFfn, MatrixKind::kPlain, 1);
    shared_ = Matrix(kHidden, kHidden, MatrixKind::kPlain, 2);
    x_ = NewBf16(*backend_, kTokens, kHidden, RandomBf16(kTokens * kHidden, 5));
    activation_ = NewBf16(*backend_, kTokens, kFfn);
    out_ = NewF32(*backend_, kTokens, kHidden + 8);
    EXPECT_TRUE(backend_->ReserveStep({.tokens = kTokens, .sequences = 1, .wanted_rows = kWanted}).ok());
  }
  MatrixId Matrix(int64_t n, int64_t k, MatrixKind kind, int64_t leaves) {
    return AddMatrix(*backend_, n, k, RandomBf16(n * k, static_cast<uint32_t>(n + leaves)), kind, leaves);
  }
  // Of wider rows, as a rank's part of the logits.
  Tensor Out(int64_t rows) const { return out_.Rows(rows).Columns(kHidden); }
  Tensor Summed(int64_t rows) const { return {out_.data, DType::kF32, rows, kHidden, kHidden}; }
  absl::Status Prepare() {
    const StepMatmul all[] = {{gate_up_, x_, activation_},
                              {down_, activation_, Out(kTokens)},
                              {down_, activation_.Rows(kWanted), Out(kWanted)},
                              {shared_, x_, Summed(kTokens)}};
    return backend_->PrepareMatmuls(all);
  }

  FakeLt lt_;
  std::unique_ptr<Backend> backend_;
  MatrixId gate_up_{}, down_{}, shared_{};
  Tensor x_, activation_, out_;
};

TEST_F(DeviceMatmulsTest, NoStepAsksForMoreThanWasChosen) {
  ASSERT_TRUE(Prepare().ok());
  // 24, 32, 64 and 70 rows; of the wanted ones 20, the others are there; of leaves 64 and 70.
  EXPECT_EQ(lt_.opened, 4 + 4 + 1 + 2);
  EXPECT_EQ(lt_.timed, lt_.opened);
  const std::vector<int32_t> ids(kTokens, 1);
  for (const int64_t tokens : {1, 4, 17, 25, 33, 64, 65, 70}) {
    const int64_t rows = FilledUp(tokens, kTokens);
    backend_->MatmulSiluMul(x_.Rows(rows), gate_up_, activation_.Rows(rows));
    backend_->Matmul(activation_.Rows(rows), down_, kNoBias, Out(rows));
    backend_->Matmul(x_.Rows(rows), shared_, kNoBias, Summed(rows));
  }
  backend_->Matmul(activation_.Rows(kWanted), down_, kNoBias, Out(kWanted));
  EXPECT_TRUE(backend_->Finish().ok());
  EXPECT_EQ(lt_.opened, 11);
  EXPECT_FALSE(lt_.ran.empty());
}

TEST_F(DeviceMatmulsTest, ScratchIsAsItWasAllocated) {
  ASSERT_TRUE(Prepare().ok());
  for (const Tensor& x : {x_, activation_}) EXPECT_THAT(Bits(x), testing::Each(0));
  EXPECT_THAT(Values(out_), testing::Each(0.0f));
}

}  // namespace
}  // namespace quire::kernels::cuda
