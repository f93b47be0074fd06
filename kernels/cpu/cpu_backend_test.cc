// Every op of the CPU backend against the fp64 reference, on every instruction set, over shapes that fit no
// register tile. A machine without AVX-512 BF16 or AMX runs what gives the same bits, AVX2's kernels and the
// twin.
#include "kernels/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_util.h"
#include "kernels/reference/reference_backend.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/naive_sampler.h"

namespace quire::kernels::cpu {
namespace {

class CpuBackendTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto backend = MakeBackend({.device = "cpu", .isa = GetParam()});
    if (backend.status().code() == absl::StatusCode::kFailedPrecondition) GTEST_SKIP() << backend.status();
    cpu_ = std::move(backend).value();
  }

  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<Backend> reference_ = MakeReferenceBackend();
};

struct MatmulShape {
  int64_t m, n, k;
};
std::vector<MatmulShape> MatmulShapes() {
  std::vector<MatmulShape> shapes;
  for (int64_t m = 1; m <= 64; ++m) shapes.push_back({m, 33 + m % 31, 40 + m % 9});
  for (const int64_t m : {1, 5, 9, 70, 128, 515}) {
    for (const int64_t n : {1, 15, 16, 47, 48, 49, 130}) shapes.push_back({m, n, 65});
  }
  for (const int64_t k : {1, 2, 3, 5119, 5120, 5121, 5122, 11000}) {
    shapes.push_back({1, 35, k});
    shapes.push_back({11, 35, k});
  }
  return shapes;
}

TEST_P(CpuBackendTest, MatmulIsTheReferencesWithinFp32Rounding) {
  for (const auto& [m, n, k] : MatmulShapes()) {
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k);
    const auto x = RandomBf16(m * k, 1), w = RandomBf16(n * k, 2);
    const auto bias = RandomFloats(n, 3);
    std::vector<float> results[2];
    for (Backend* backend : {cpu_.get(), reference_.get()}) {
      const MatrixId matrix = AddMatrix(*backend, n, k, w);
      const VectorId vector = m % 2 ? backend->AddVector(bias).value() : kNoBias;
      const Tensor out = NewF32(*backend, m, n);
      backend->Matmul(NewBf16(*backend, m, k, x), matrix, vector, out);
      results[backend == cpu_.get() ? 0 : 1] = Values(out);
    }
    EXPECT_LT(RelativeError(results[0], results[1]), 3e-7 + 1e-10 * static_cast<double>(k));
  }
}

TEST_P(CpuBackendTest, MatmulSiluMulIsTheReferencesWithinBf16Rounding) {
  for (const auto& [m, n, k] : MatmulShapes()) {
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k);
    const auto x = RandomBf16(m * k, 1),
               w = RandomBf16(2 * n * k, 2, 2.0f / std::sqrt(static_cast<float>(k)));
    std::vector<float> results[2];
    for (Backend* backend : {cpu_.get(), reference_.get()}) {
      const MatrixId matrix = AddMatrix(*backend, 2 * n, k, w, MatrixKind::kGateUp);
      const Tensor out = NewBf16(*backend, m, n);
      backend->MatmulSiluMul(NewBf16(*backend, m, k, x), matrix, out);
      results[backend == cpu_.get() ? 0 : 1] = Values(out);
    }
    // Both round once; only near ties can they differ, by one bf16 step.
    for (size_t i = 0; i < results[1].size(); ++i) {
      ASSERT_NEAR(results[0][i], results[1][i], std::abs(results[1][i]) / 128 + 1e-6) << i;
    }
    EXPECT_LT(RelativeError(results[0], results[1]), 1e-3);
  }
}

TEST_P(CpuBackendTest, SiluMulHoldsAtExtremes) {
  // k = 1: gate = x * 1, up = x.
  const auto w = std::vector<uint16_t>{FloatToBf16(1), FloatToBf16(1)};
  const MatrixId matrix = AddMatrix(*cpu_, 2, 1, w, MatrixKind::kGateUp);
  for (const float value : {-1e30f, -200.0f, -88.0f, -1.0f, 0.0f, 1e-20f, 88.0f, 200.0f, 1e15f}) {
    const uint16_t x = FloatToBf16(value);
    const Tensor out = NewBf16(*cpu_, 1, 1);
    cpu_->MatmulSiluMul(NewBf16(*cpu_, 1, 1, {&x, 1}), matrix, out);
    const double rounded = Bf16ToFloat(x), want = rounded / (1 + std::exp(-rounded)) * rounded;
    EXPECT_NEAR(Values(out)[0], want, std::abs(want) / 128 + 1e-6) << value;
  }
}

TEST_P(CpuBackendTest, NormsAreTheReferences) {
  for (const int64_t cols : {1, 15, 16, 17, 64, 80, 129, 576, 5120}) {
    const int64_t rows = 3;
    const auto x = RandomFloats(rows * cols, 1, 30), delta = RandomFloats(rows * cols, 2, 10);
    const auto weight = RandomFloats(cols, 3);
    std::vector<float> sums[2], norms[2];
    for (Backend* backend : {cpu_.get(), reference_.get()}) {
      const VectorId vector = backend->AddVector(weight).value();
      const Tensor tensor = NewF32(*backend, rows, cols, x), out = NewBf16(*backend, rows, cols);
      const Tensor plain = NewBf16(*backend, rows, cols);
      backend->AddRmsNorm(tensor, NewF32(*backend, rows, cols, delta), vector, 1e-5f, out);
      backend->RmsNorm(tensor, vector, 1e-5f, plain);
      EXPECT_EQ(Bits(out), Bits(plain));
      sums[backend == cpu_.get() ? 0 : 1] = Values(tensor);
      norms[backend == cpu_.get() ? 0 : 1] = Values(out);
    }
    EXPECT_EQ(sums[0], sums[1]);
    for (size_t i = 0; i < norms[1].size(); ++i) {
      ASSERT_NEAR(norms[0][i], norms[1][i], std::abs(norms[1][i]) / 128) << cols << " " << i;
    }
  }
}

TEST_P(CpuBackendTest, EmbedFindsItsRowsAndZeroesForeignOnes) {
  for (const int64_t rows : {1, 16, 50, 97, 144}) {
    for (const int64_t k : {1, 16, 33}) {
      const auto w = RandomBf16(rows * k, 4);
      const MatrixId table = AddMatrix(*cpu_, rows, k, w);
      std::vector<int32_t> ids;
      for (int32_t id = 90; id < 110 + rows; ++id) ids.push_back(id);
      const Tensor out = NewF32(*cpu_, std::ssize(ids), k);
      BeginTestStep(*cpu_, {.ids = ids, .sequences = {}, .wanted_rows = {}});
      cpu_->Embed(table, 100, out);
      for (size_t i = 0; i < ids.size(); ++i) {
        const int64_t row = ids[i] - 100;
        for (int64_t c = 0; c < k; ++c) {
          const float want = row >= 0 && row < rows ? Bf16ToFloat(w[row * k + c]) : 0.0f;
          ASSERT_EQ(out.f32(static_cast<int64_t>(i))[c], want);
        }
      }
    }
  }
}

TEST_P(CpuBackendTest, AttentionIsTheReferencesWithinBf16Rounding) {
  if (GetParam() == "amx-twin") GTEST_SKIP() << "its attention is avx2's";
  const int64_t dims[] = {16, 18, 40, 64, 80, 128, 256};
  for (const int64_t dim : dims) {
    for (const auto& [query_heads, kv_heads] : {std::pair{1, 1}, {3, 1}, {8, 2}, {9, 3}, {5, 1}, {20, 2}}) {
      const int64_t length = dim == 64 || dim == 128 ? 401 : 21 + dim % 7;  // 401: several key tiles
      if (dim == 256 && query_heads > 3) continue;
      SCOPED_TRACE(testing::Message() << "dim " << dim << " heads " << query_heads << "/" << kv_heads);
      const KvShape shape{.kv_heads = kv_heads, .head_dim = dim, .query_heads = query_heads};
      auto backend = MakeCpu(GetParam());
      auto reference = MakeReferenceBackend();
      AttentionRun got(*backend, shape, length), want(*reference, shape, length);
      got.InChunks(length);
      want.InChunks(length);
      EXPECT_LT(RelativeError(Values(got.q()), Values(want.q())), 1e-4);
      EXPECT_LT(RelativeError(Values(got.out()), Values(want.out())), 3e-3);
    }
  }
}

// The reference too: what a sequence finds in a copied block is what stood in the first one.
TEST_P(CpuBackendTest, ACopiedBlockIsReadAsTheFirstWas) {
  for (const bool reference : {false, true}) {
    const std::unique_ptr<Backend> backend = reference ? MakeReferenceBackend() : MakeCpu(GetParam());
    AttentionRun run(*backend, {.kv_heads = 2, .head_dim = 18, .query_heads = 6}, 43);
    run.InChunks(43);
    const std::string bits = Bits(run.out());
    run.MoveLastBlock(43);
    run.Chunk(41, 2);  // of 11 in the last block, 9 are the copy's
    EXPECT_EQ(Bits(run.out()), bits);
    run.MoveLastBlock(32);
    run.Chunk(41, 2);
    EXPECT_EQ(Bits(run.out()), bits);
  }
}

TEST_P(CpuBackendTest, ACopyOfNoBlockStopsTheProcess) {
  ASSERT_TRUE(cpu_->CreateKvCache({1, 3, 1, 64, 1}).ok());
  for (const BlockCopy& copy : {BlockCopy{0, 3}, {-1, 0}, {2, 2}}) {
    EXPECT_DEATH(cpu_->CopyBlocks({&copy, 1}), "no such copy");
  }
}

TEST_P(CpuBackendTest, HeadNormsAreTheReferences) {
  for (const int64_t dim : {2, 16, 18, 34, 40, 62, 64, 66, 80, 128, 130, 256}) {
    const KvShape shape{.kv_heads = 2, .head_dim = dim, .query_heads = 6};
    auto backend = MakeCpu(GetParam());
    auto reference = MakeReferenceBackend();
    AttentionRun got(*backend, shape, 37, /*normed=*/true), want(*reference, shape, 37, /*normed=*/true);
    got.InChunks(37);
    want.InChunks(37);
    EXPECT_LT(RelativeError(Values(got.q()), Values(want.q())), 1e-4) << dim;
    EXPECT_LT(RelativeError(Values(got.out()), Values(want.out())), 3e-3) << dim;
  }
}

TEST_P(CpuBackendTest, AHeadNormOfAnotherLengthStopsTheProcess) {
  ASSERT_TRUE(cpu_->CreateKvCache({1, 1, 1, 64, 1}).ok());
  const HeadNorms norms{.q = cpu_->AddVector(std::vector<float>(63)).value()};
  const Tensor qkv = NewF32(*cpu_, 1, 3 * 64), q = NewBf16(*cpu_, 1, 64);
  EXPECT_DEATH(cpu_->RopeAndStore(qkv, 0, norms, q), "the vector has another length");
}

TEST_P(CpuBackendTest, GatherWantedCopiesEitherType) {
  const auto values = RandomFloats(5 * 7, 1);
  const std::vector<int64_t> rows = {0, 3, 4};
  BeginTestStep(*cpu_, {.ids = std::vector<int32_t>(5), .sequences = {}, .wanted_rows = rows});
  const Tensor x = NewF32(*cpu_, 5, 7, values), out = NewF32(*cpu_, 3, 7);
  cpu_->GatherWanted(x, out);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(Bits(out, i, 1), Bits(x, rows[i], 1));
  const Tensor x16 = NewBf16(*cpu_, 5, 7, RandomBf16(5 * 7, 2)), out16 = NewBf16(*cpu_, 3, 7);
  cpu_->GatherWanted(x16, out16);
  for (int64_t i = 0; i < 3; ++i) EXPECT_EQ(Bits(out16, i, 1), Bits(x16, rows[i], 1));
}

// Whichever thread has a row, and whatever it sampled before.
TEST_P(CpuBackendTest, SamplesEachRowAsTheSamplerAlone) {
  const int64_t rows = 17, ids = 1000;
  const auto logits = RandomFloats(rows * (ids + 24), 3, 4);
  const std::vector<TokenId> prompt = {1, 2, 3, 500};
  TokenCounts counts;
  counts.AddPrompt(prompt);
  for (const TokenId id : {7, 7, 9}) counts.AddOutput(id);
  std::vector<SampleSpec> specs(rows);
  for (int64_t i = 0; i < rows; ++i) {
    SamplingParams& params = specs[i].params;
    params.temperature = i % 4 == 0 ? 0.0f : 0.5f + 0.1f * static_cast<float>(i);
    params.top_k = i % 3 == 0 ? 20 : 0;
    params.top_p = i % 5 == 0 ? 0.9f : 1.0f;
    params.repetition_penalty = i % 2 == 0 ? 1.3f : 1.0f;
    params.frequency_penalty = i % 7 == 0 ? 0.5f : 0.0f;
    params.logprobs = i % 2 == 0;
    if (i % 6 == 0) params.masked_ids = {11, 12};
    specs[i].seed = 5;
    specs[i].position = static_cast<uint32_t>(i);
    specs[i].counts = &counts;
  }
  std::vector<const SampleSpec*> pointers;
  for (const SampleSpec& spec : specs) pointers.push_back(&spec);
  for (const int threads : {1, 2, 3, 32}) {
    auto backend = MakeCpu(GetParam(), threads);
    ASSERT_TRUE(backend->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok());
    const Tensor x = NewF32(*backend, rows, ids + 24, logits);
    for (const int64_t count : {rows, int64_t{1}, int64_t{5}}) {
      backend->Sample(x.Rows(count), std::span(pointers).first(count), {});
      const auto tokens = *backend->ReadSampled();
      ASSERT_EQ(std::ssize(tokens), count);
      for (int64_t i = 0; i < count; ++i) {
        const SampledToken want = Sampler(ids).Sample({x.f32(i), static_cast<size_t>(ids + 24)}, specs[i]);
        EXPECT_EQ(tokens[i].id, want.id) << threads << " threads, row " << i;
        EXPECT_EQ(tokens[i].logprob, want.logprob);
        EXPECT_FALSE(tokens[i].failed);
      }
    }
  }
}

// Each as if the tokens from its own on had not come: what a naive sampler picks that reads the others.
TEST_P(CpuBackendTest, SamplesSeveralRowsOfOneSequence) {
  const int64_t rows = 4, ids = 300;
  const std::vector<TokenId> prompt = {1, 2, 3, 250}, output = {7, 7, 9, 40, 7, 9};
  TokenCounts counts;
  counts.AddPrompt(prompt);
  for (const TokenId id : output) counts.AddOutput(id);
  std::vector<SampleSpec> specs(rows);
  std::vector<const SampleSpec*> pointers;
  for (int64_t i = 0; i < rows; ++i) {
    specs[i].params = {.temperature = 0.9f, .repetition_penalty = 1.3f, .frequency_penalty = 1.5f};
    specs[i].position = static_cast<uint32_t>(std::ssize(output) - rows + 1 + i);
    specs[i].counts = &counts;
    specs[i].uncounted = std::span(output).subspan(specs[i].position);
    pointers.push_back(&specs[i]);
  }
  auto backend = MakeCpu(GetParam(), 2);
  ASSERT_TRUE(backend->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok());
  const auto logits = RandomFloats(ids, 3, 0.5);
  const Tensor x = NewF32(*backend, rows, ids);
  for (int64_t i = 0; i < rows; ++i) std::ranges::copy(logits, x.f32(i));  // only tokens and noise differ
  backend->Sample(x, pointers, {});
  const auto tokens = *backend->ReadSampled();
  for (int64_t i = 0; i < rows; ++i) {
    const auto before = std::span(output).first(specs[i].position);
    EXPECT_EQ(tokens[i].id, NaiveSampler(ids).Sample(logits, specs[i], prompt, before).id) << i;
  }
}

TEST_P(CpuBackendTest, CountsWeightBytesWithoutPadding) {
  AddMatrix(*cpu_, 33, 5, RandomBf16(33 * 5, 1));
  ASSERT_TRUE(cpu_->AddVector(std::vector<float>(7)).ok());
  EXPECT_EQ(cpu_->weight_stats().bytes, 33 * 5 * 2 + 7 * 4);
}

TEST_P(CpuBackendTest, PacksPartsAndColumnSlices) {
  // Rows 1..2 and 4..8, columns 3..12 of a wider matrix, as a rank's slice of several weights.
  const auto wide = RandomBf16(10 * 20, 1);
  const HostMatrix parts[] = {{&wide[1 * 20 + 3], 2, 20}, {&wide[4 * 20 + 3], 5, 20}};
  const MatrixId matrix = cpu_->AddMatrix(parts, 10, MatrixKind::kPlain, 1).value();
  const Tensor out = NewF32(*cpu_, 7, 10);
  const std::vector<int32_t> ids = {0, 1, 2, 3, 4, 5, 6};
  BeginTestStep(*cpu_, {.ids = ids, .sequences = {}, .wanted_rows = {}});
  cpu_->Embed(matrix, 0, out);
  const int64_t rows[] = {1, 2, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < 7; ++i) {
    for (int64_t c = 0; c < 10; ++c) EXPECT_EQ(out.f32(i)[c], Bf16ToFloat(wide[rows[i] * 20 + 3 + c]));
  }
}

TEST_P(CpuBackendTest, RefusesImpossibleShapesAtLoad) {
  const uint16_t one = 0;
  const HostMatrix negative{&one, -1, 4}, narrow{&one, 2, 3}, huge{&one, int64_t{1} << 31, int64_t{1} << 31};
  EXPECT_FALSE(cpu_->AddMatrix({&negative, 1}, 4, MatrixKind::kPlain, 1).ok());
  EXPECT_FALSE(cpu_->AddMatrix({&narrow, 1}, 4, MatrixKind::kPlain, 1).ok());
  EXPECT_FALSE(cpu_->AddMatrix({&narrow, 1}, 2, MatrixKind::kGateUp, 1).ok());
  const std::vector<uint16_t> zeros(4 * 16);
  const HostMatrix rows{zeros.data(), 4, 16}, halves[] = {{zeros.data(), 2, 16}, {zeros.data() + 32, 2, 16}};
  for (const int64_t leaves : {-1, 0, 3, 16}) {
    EXPECT_FALSE(cpu_->AddMatrix({&rows, 1}, 16, MatrixKind::kPlain, leaves).ok()) << leaves;
  }
  EXPECT_FALSE(cpu_->AddMatrix({&rows, 1}, 12, MatrixKind::kPlain, 4).ok()) << "leaves of an odd k";
  EXPECT_FALSE(cpu_->AddMatrix(halves, 16, MatrixKind::kGateUp, 2).ok());
  EXPECT_TRUE(cpu_->AddMatrix({&rows, 1}, 16, MatrixKind::kPlain, 8).ok());
  EXPECT_FALSE(cpu_->AddMatrix({&huge, 1}, int64_t{1} << 31, MatrixKind::kPlain, 1).ok());
  EXPECT_FALSE(cpu_->Allocate(DType::kBf16, 0, 1).ok());
  EXPECT_FALSE(cpu_->AddVector({}).ok());
  EXPECT_FALSE(cpu_->AddRope(std::vector<double>{2.0}, 1, int64_t{1} << 30).ok());
  EXPECT_FALSE(cpu_->AddRope(std::vector<double>{1.0}, std::nan(""), 10).ok());
  EXPECT_FALSE(cpu_->CreateKvCache({1, 1, 1, 258, 1}).ok());
  EXPECT_FALSE(cpu_->CreateKvCache({1, int64_t{1} << 31, int64_t{1} << 20, 64, int64_t{1} << 20}).ok());
  ASSERT_TRUE(cpu_->CreateKvCache({1, 1, 1, 64, 1}).ok());
  EXPECT_FALSE(cpu_->CreateKvCache({1, 1, 1, 64, 1}).ok());
}

// In steps as large as was reserved, whichever way their rows are cut into sequences.
TEST_P(CpuBackendTest, HasRoomForTheTilesOfAnyStep) {
  const KvShape shape{.layers = 1, .blocks = 6, .kv_heads = 2, .head_dim = 16, .query_heads = 10};
  constexpr int64_t kTokens = 13, kSequences = 6;
  const auto backend = MakeCpu(GetParam());
  ASSERT_TRUE(backend->ReserveStep({.tokens = kTokens, .sequences = kSequences, .table_blocks = 1}).ok());
  ASSERT_TRUE(backend->CreateKvCache(shape).ok());
  const RopeId rope = backend->AddRope(std::vector<double>(8, 0.1), 1, 64).value();
  const std::vector<int32_t> ids(kTokens), blocks = {0, 1, 2, 3, 4, 5};
  for (int64_t most = 1; most <= kTokens; ++most) {
    std::vector<SequenceRows> sequences;
    for (int64_t row = 0; row < kTokens && std::ssize(sequences) < kSequences;) {
      const int64_t count =
          std::ssize(sequences) + 1 == kSequences ? kTokens - row : std::min(most, kTokens - row);
      sequences.push_back({.first_row = row,
                           .rows = count,
                           .blocks = std::span(blocks).subspan(sequences.size(), 1),
                           .rope = rope,
                           .slot = std::ssize(sequences)});
      row += count;
    }
    backend->BeginStep({.ids = ids, .sequences = sequences, .wanted_rows = {}});
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuBackendTest, testing::ValuesIn(TestedIsas()),
                         [](const auto& info) { return TestNameOf(info.param); });

TEST(BackendFactoryTest, SaysWhichOptionIsWrong) {
  const auto message = [](BackendOptions options) {
    return std::string(MakeBackend(options).status().message());
  };
  EXPECT_NE(message({.device = "tpu"}).find("unknown device \"tpu\""), std::string::npos);
  EXPECT_NE(message({.isa = "sse"}).find("unknown instruction set \"sse\""), std::string::npos);
  EXPECT_NE(message({.threads = 0}).find("threads is 0"), std::string::npos);
  EXPECT_NE(message({.spin_us = -1}).find("spin_us is -1"), std::string::npos);
  EXPECT_TRUE(MakeBackend({}).ok());
}

using CpuBackendDeathTest = testing::Test;
TEST(CpuBackendDeathTest, AnOpAgainstItsContractStopsTheProcess) {
  auto backend = MakeCpu();
  const MatrixId matrix = AddMatrix(*backend, 4, 4, RandomBf16(16, 1));
  const Tensor x = NewBf16(*backend, 1, 4), out = NewF32(*backend, 1, 5);
  EXPECT_DEATH(backend->Matmul(x, matrix, kNoBias, out),
               "Matmul was called against its contract: out is not");
}

}  // namespace
}  // namespace quire::kernels::cpu
