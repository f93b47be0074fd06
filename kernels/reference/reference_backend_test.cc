// The reference against numbers worked out by hand: it is what every other backend is compared with.
#include "kernels/reference/reference_backend.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/bf16.h"
#include "kernels/test_step.h"

namespace quire::kernels {
namespace {

std::vector<uint16_t> Bf16(std::initializer_list<float> values) {
  std::vector<uint16_t> out;
  for (const float value : values) out.push_back(FloatToBf16(value));
  return out;
}

TEST(ReferenceBackendTest, MatmulAddsTheBias) {
  auto backend = MakeReferenceBackend();
  const std::vector<uint16_t> w = Bf16({1, 2, 3, -1, 0.5, 4});
  const HostMatrix part{w.data(), 2, 3};
  const MatrixId matrix = backend->AddMatrix({&part, 1}, 3, MatrixKind::kPlain, 1).value();
  const VectorId bias = backend->AddVector(std::vector<float>{10, 20}).value();
  Tensor x = backend->Allocate(DType::kBf16, 1, 3).value();
  Tensor out = backend->Allocate(DType::kF32, 1, 2).value();
  for (int i = 0; i < 3; ++i) x.bf16()[i] = FloatToBf16(static_cast<float>(i + 1));
  backend->Matmul(x, matrix, bias, out);
  EXPECT_EQ(out.f32()[0], 24);
  EXPECT_EQ(out.f32()[1], 32);
  EXPECT_EQ(backend->weight_stats().bytes, 2 * 3 * 2 + 2 * 4);
}

TEST(ReferenceBackendTest, AttentionIsTheWeightedMeanOfValues) {
  auto backend = MakeReferenceBackend();
  ASSERT_TRUE(
      backend->CreateKvCache({.layers = 1, .blocks = 2, .kv_heads = 1, .head_dim = 2, .query_heads = 1})
          .ok());
  const RopeId rope = backend->AddRope(std::vector<double>{0.0}, 1, 64).value();
  Tensor qkv = backend->Allocate(DType::kF32, 2, 6).value();
  Tensor q = backend->Allocate(DType::kBf16, 2, 2).value();
  Tensor out = backend->Allocate(DType::kBf16, 2, 2).value();
  const float rows[2][6] = {{1, 0, 0, 0, 1, 2}, {1, 0, std::sqrt(2.0f) * std::log(3.0f), 0, 5, 6}};
  for (int row = 0; row < 2; ++row) std::copy(rows[row], rows[row] + 6, qkv.f32(row));
  const std::vector<int32_t> blocks = {1};
  const SequenceRows sequence{.first_row = 0, .rows = 2, .position = 0, .blocks = blocks, .rope = rope};
  BeginTestStep(*backend, {&sequence, 1});
  backend->RopeAndStore(qkv, 0, {}, q);
  backend->Attention(q, 0, out);
  EXPECT_EQ(Bf16ToFloat(out.bf16(0)[0]), 1);
  // Weights 1/4 and 3/4.
  EXPECT_NEAR(Bf16ToFloat(out.bf16(1)[0]), 4, 0.02);
  EXPECT_NEAR(Bf16ToFloat(out.bf16(1)[1]), 5, 0.02);
}

TEST(ReferenceBackendTest, RotationTurnsHalvesIntoEachOther) {
  auto backend = MakeReferenceBackend();
  ASSERT_TRUE(
      backend->CreateKvCache({.layers = 1, .blocks = 1, .kv_heads = 1, .head_dim = 2, .query_heads = 1})
          .ok());
  const RopeId rope = backend->AddRope(std::vector<double>{std::acos(0.0)}, 2, 64).value();
  Tensor qkv = backend->Allocate(DType::kF32, 1, 6).value();
  Tensor q = backend->Allocate(DType::kBf16, 1, 2).value();
  qkv.f32()[0] = 3;
  const std::vector<int32_t> blocks = {0};
  const SequenceRows sequence{.first_row = 0, .rows = 1, .position = 1, .blocks = blocks, .rope = rope};
  BeginTestStep(*backend, {&sequence, 1});
  backend->RopeAndStore(qkv, 0, {}, q);
  EXPECT_NEAR(Bf16ToFloat(q.bf16()[0]), 0, 1e-6);
  EXPECT_EQ(Bf16ToFloat(q.bf16()[1]), 6);
}

TEST(ReferenceBackendTest, HeadsAreNormedBeforeTheyTurn) {
  auto backend = MakeReferenceBackend();
  ASSERT_TRUE(
      backend->CreateKvCache({.layers = 1, .blocks = 1, .kv_heads = 1, .head_dim = 2, .query_heads = 2})
          .ok());
  const RopeId rope = backend->AddRope(std::vector<double>{std::acos(0.0)}, 1, 64).value();
  const HeadNorms norms{.q = backend->AddVector(std::vector<float>{10, 100}).value(), .eps = 0.5f};
  Tensor qkv = backend->Allocate(DType::kF32, 1, 8).value();
  Tensor q = backend->Allocate(DType::kBf16, 1, 4).value();
  const float heads[8] = {1, 0, 3, 4, 7, 8, 9, 9};
  std::copy(heads, heads + 8, qkv.f32());
  const std::vector<int32_t> blocks = {0};
  const SequenceRows sequence{.first_row = 0, .rows = 1, .position = 1, .blocks = blocks, .rope = rope};
  BeginTestStep(*backend, {&sequence, 1});
  backend->RopeAndStore(qkv, 0, norms, q);
  // (1, 0) over sqrt(1/2 + 1/2), (3, 4) over sqrt(25/2 + 1/2), times (10, 100), a quarter turn.
  const double expected[4] = {0, 10, -400 / std::sqrt(13.0), 30 / std::sqrt(13.0)};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(Bf16ToFloat(q.bf16()[i]), expected[i], 0.5) << i;
}

TEST(ReferenceBackendTest, RefusesImpossibleShapes) {
  auto backend = MakeReferenceBackend();
  EXPECT_FALSE(backend->Allocate(DType::kF32, -1, 3).ok());
  EXPECT_FALSE(backend->Allocate(DType::kF32, int64_t{1} << 30, int64_t{1} << 30).ok());
  EXPECT_FALSE(backend->AddMatrix({}, 3, MatrixKind::kPlain, 1).ok());
  EXPECT_FALSE(backend->CreateKvCache({1, 1, 2, 64, 3}).ok());
  EXPECT_FALSE(backend->CreateKvCache({1, 1, 1, 63, 1}).ok());
  EXPECT_FALSE(backend->AddRope(std::vector<double>{-1.0}, 1, 64).ok());
}

}  // namespace
}  // namespace quire::kernels
