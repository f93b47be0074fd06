// The step of a tiny model on fibers: every kernel, in the order and with the buffers that a GPU's step has.
#include <gtest/gtest.h>

#include "kernels/cuda/step/testing/step_checks.h"

namespace quire::kernels::cuda {
namespace {

constexpr uint32_t kSeed = 3;
constexpr DeviceSize kDevice{2, kSharedBytesSm80};  // where everything has to fit
constexpr StepLimits kLimits{
    .tokens = 48, .sequences = 8, .table_entries = 64, .partial_rows = 256, .attention_items = 64};

class CudaStep : public testing::Test {
 protected:
  CudaStep()
      : model_(stream_, kTinyShape, 64, kSeed), world_(stream_, model_, kLimits, 8, 64, kDevice.processors) {
    EXPECT_EQ(model_.error(), "");
  }
  static void Expect(const StepCheckResult& result) {
    EXPECT_TRUE(result.ok()) << result.name << ": relative " << result.relative << ", limit " << result.limit
                             << ", " << result.different << " of " << result.of << " differ " << result.error;
  }

  Stream stream_{1, kDevice};
  GeneratedModel model_;
  StepWorld world_;
  SkinnyGemms gemms_{kDevice};
};

TEST_F(CudaStep, IsNearTheReference) { CheckReference(world_, kSeed, gemms_, Expect); }
TEST_F(CudaStep, ADecodedTokenIsThatOfALongerPrefill) { CheckBrief(world_, gemms_, Expect); }
TEST_F(CudaStep, PrefillAndChunksHaveTheBitsOfDecode) {
  CheckPrefill(world_, gemms_, gemms_, 21, 9, 0, Expect);
}
TEST_F(CudaStep, ARowDoesNotDependOnItsBatch) { CheckBatch(world_, gemms_, 8, Expect); }
TEST_F(CudaStep, SampledTokensGoBackOnTheDevice) { CheckFeedback(world_, gemms_, Expect); }

TEST_F(CudaStep, WhatDoesNotFitIsAnErrorAndNoStep) {
  const auto error = [&](const std::vector<StepPiece>& pieces) {
    EXPECT_EQ(world_.Load(pieces, {}).tokens, 0);
    return stream_.Synchronize();
  };
  EXPECT_NE(error({{0, 0, 49}}), "");  // tokens
  EXPECT_NE(error({{0, 60, 5}}), "");  // pages
  std::vector<StepPiece> nine;
  for (int i = 0; i < 9; ++i) nine.push_back({i % 8, 0, 1});
  EXPECT_NE(error(nine), "");
  EXPECT_NE(error({{0, 0, 0}}), "");
  EnqueueStep(stream_, world_.Model(gemms_), world_.Load({}, {}), {});  // nothing to do
  EXPECT_EQ(stream_.Synchronize(), "");
}

TEST(CudaStepBatch, APlanHoldsUntilASequenceMeetsAnotherSplit) {
  const std::vector<int32_t> ids(3, 1), pages(200, 0);
  const auto steps = [&](int position, int tokens) {
    const StepSpan spans[] = {{std::span(ids).first(static_cast<size_t>(tokens)), position, pages, {}}};
    return StepsOfPlan(MakeStepBatch(kTinyShape, spans, 2, 1000));
  };
  EXPECT_EQ(steps(0, 1), 256);
  EXPECT_EQ(steps(255, 1), 1);
  EXPECT_EQ(steps(254, 2), 1);
  EXPECT_EQ(steps(2048, 1), 512);
  EXPECT_EQ(StepsOfPlan({}), 0);
}

TEST(CudaStepBatch, WantsTokensOfTheVocabularyAndPages) {
  const std::vector<int32_t> outside = {331}, negative = {-1}, good = {330}, pages = {4};
  const auto error = [&](std::span<const int32_t> ids, int position) {
    const StepSpan spans[] = {{ids, position, pages, {}}};
    return MakeStepBatch(kTinyShape, spans, 2, 1000).error;
  };
  EXPECT_EQ(error(good, 0), "");
  EXPECT_NE(error(outside, 0), "");
  EXPECT_NE(error(negative, 0), "");
  EXPECT_NE(error(good, 16), "");
  EXPECT_NE(error(good, -1), "");
}

}  // namespace
}  // namespace quire::kernels::cuda
