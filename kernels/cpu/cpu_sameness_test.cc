// The CPU's part of "a token is a function" (ARCHITECTURE 5.2): the bits of a row depend neither on its
// batch, nor on how a prompt was cut, nor on threads or, within a family, the instruction set. A machine
// without AMX runs its twin.
#include <gtest/gtest.h>

#include <xmmintrin.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/agreement.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/test_util.h"
#include "kernels/sampling/testing/sampler_cases.h"

namespace quire::kernels::cpu {
namespace {

using Isas = std::vector<std::string>;
// Each family's instruction sets: within one, every bit is the same.
const Isas kFamilies[] = {{"avx2", "avx512"}, {"amx-twin", "amx"}};
// Only in their matmuls do the families differ.
const Isas kAll = {"avx2", "avx512", "amx-twin", "amx"};

// What there is to compare with the first, of what this machine has: {isa, threads, spin}.
std::vector<std::unique_ptr<Backend>> Variants(const Isas& isas) {
  std::vector<std::unique_ptr<Backend>> variants;
  for (const std::string& isa : isas) {
    if (!ChooseKernels(isa).ok()) continue;
    for (const int threads : {1, 2, 3}) variants.push_back(MakeCpu(isa, threads, threads == 3 ? 10 : 0));
  }
  return variants;
}

// Each of its tests compares all of them.
class CpuSamenessTest : public testing::Test {
 protected:
  void TearDown() override {
    std::string missing;
    for (const std::string& isa : kAll) {
      if (const auto kernels = ChooseKernels(isa); !kernels.ok()) missing += isa + ", ";
    }
    if (!missing.empty()) GTEST_SKIP() << "compared, but for " << missing << "which this machine can't use";
  }
};

// Equal bits, any NaN being as good as any other.
void ExpectSame(Tensor a, Tensor b) {
  const std::vector<float> left = Values(a), right = Values(b);
  for (size_t i = 0; i < left.size(); ++i) {
    const bool both_nan = std::isnan(left[i]) && std::isnan(right[i]);
    ASSERT_TRUE(both_nan || std::memcmp(&left[i], &right[i], 4) == 0)
        << i << ": " << left[i] << " " << right[i];
  }
}

void ExpectSameMatmuls(const Isas& family, int64_t m, int64_t n, int64_t k) {
  const auto x = WildBf16(m * k, 10 + m), w = WildBf16(n * k, 21 + m), w2 = WildBf16(2 * n * k, 30 + m);
  const int64_t leaves = k % 16 == 0 ? 8 : 1;
  std::vector<std::unique_ptr<Backend>> variants = Variants(family);
  std::vector<std::pair<Tensor, Tensor>> outs;
  for (auto& backend : variants) {
    const Tensor input = NewBf16(*backend, m, k, x);
    outs.push_back({NewF32(*backend, m, n), NewBf16(*backend, m, n)});
    const VectorId bias = backend->AddVector(RandomFloats(n, 4)).value();
    backend->Matmul(input, AddMatrix(*backend, n, k, w, MatrixKind::kPlain, leaves), bias, outs.back().first);
    backend->MatmulSiluMul(input, AddMatrix(*backend, 2 * n, k, w2, MatrixKind::kGateUp), outs.back().second);
    ExpectSame(outs[0].first, outs.back().first);
    ExpectSame(outs[0].second, outs.back().second);
  }
}

TEST_F(CpuSamenessTest, MatmulsAreEqualOnEveryVariantEvenWithWildNumbers) {
  for (const Isas& family : kFamilies) {
    for (const auto& [m, n, k] :
         {std::array<int64_t, 3>{1, 100, 96}, {7, 49, 33}, {8, 31, 5200}, {40, 144, 64}, {3, 17, 10448}}) {
      SCOPED_TRACE(testing::Message() << family[0] << " m " << m << " n " << n << " k " << k);
      ExpectSameMatmuls(family, m, n, k);
    }
  }
}

TEST_F(CpuSamenessTest, NormsAndEmbeddingsAreEqualOnEveryVariant) {
  const int64_t rows = 5, cols = 83;
  auto x = RandomFloats(rows * cols, 1);
  for (size_t i = 0; i < x.size(); i += 5) x[i] *= 1e-38f;
  x[2 * cols] = std::numeric_limits<float>::infinity();
  const auto table = WildBf16(rows * cols, 2);
  const std::vector<int32_t> ids = {4, 0, 3, 9, 2};
  std::vector<std::unique_ptr<Backend>> variants = Variants(kAll);
  std::vector<std::array<Tensor, 3>> outs;
  for (auto& backend : variants) {
    const VectorId weight = backend->AddVector(RandomFloats(cols, 3)).value();
    const Tensor in = NewF32(*backend, rows, cols, x), out = NewBf16(*backend, rows, cols);
    const Tensor embedded = NewF32(*backend, rows, cols);
    backend->AddRmsNorm(in, NewF32(*backend, rows, cols, x), weight, 1e-6f, out);
    BeginTestStep(*backend, {.ids = ids, .sequences = {}, .wanted_rows = {}});
    backend->Embed(AddMatrix(*backend, rows, cols, table), 0, embedded);
    outs.push_back({in, out, embedded});
    for (int i = 0; i < 3; ++i) ExpectSame(outs[0][i], outs.back()[i]);
  }
}

TEST_F(CpuSamenessTest, AttentionIsEqualOnEveryVariant) {
  for (const auto& [dim, normed] : {std::pair<int64_t, bool>{16, false},
                                    {34, false},
                                    {64, false},
                                    {128, false},
                                    {18, true},
                                    {80, true},
                                    {128, true}}) {
    std::string q, out;
    for (auto& backend : Variants(kAll)) {
      AttentionRun run(*backend, {.kv_heads = 3, .head_dim = dim, .query_heads = 9}, 230, normed);
      run.InChunks(100);
      if (q.empty()) {
        q = Bits(run.q());
        out = Bits(run.out());
      }
      EXPECT_TRUE(Bits(run.q()) == q) << dim;
      EXPECT_TRUE(Bits(run.out()) == out) << dim;
    }
  }
}

TEST_F(CpuSamenessTest, TokensAndLogprobsAreEqualOnEveryVariant) {
  const int64_t ids = 5003, rows = 40;
  std::vector<SampleSpec> specs = AssortedSpecs(ids, rows, 3);
  std::vector<const SampleSpec*> pointers;
  for (const SampleSpec& spec : specs) pointers.push_back(&spec);
  const std::vector<std::vector<float>> ugly = UglyRows(ids, 4);
  std::vector<SampledToken> first;
  for (auto& backend : Variants(kAll)) {
    ASSERT_TRUE(backend->ReserveStep({.wanted_rows = rows, .sampled_ids = ids}).ok());
    const Tensor x = NewF32(*backend, rows, ids);
    for (int64_t row = 0; row < rows; ++row) std::ranges::copy(ugly[row % std::ssize(ugly)], x.f32(row));
    backend->Sample(x, pointers, {});
    const std::span<const SampledToken> tokens = *backend->ReadSampled();
    if (first.empty()) first.assign(tokens.begin(), tokens.end());
    for (int64_t row = 0; row < rows; ++row) {
      EXPECT_EQ(tokens[row].id, first[row].id) << row;
      EXPECT_EQ(std::memcmp(&tokens[row].logprob, &first[row].logprob, sizeof(float)), 0) << row;
      ASSERT_EQ(tokens[row].top_logprobs.size(), first[row].top_logprobs.size()) << row;
      for (size_t i = 0; i < first[row].top_logprobs.size(); ++i) {
        EXPECT_EQ(tokens[row].top_logprobs[i].id, first[row].top_logprobs[i].id) << row;
        EXPECT_EQ(tokens[row].top_logprobs[i].logprob, first[row].top_logprobs[i].logprob) << row;
      }
    }
  }
}

class PerIsa : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const auto kernels = ChooseKernels(GetParam()); !kernels.ok()) GTEST_SKIP() << kernels.status();
  }
};

TEST_P(PerIsa, AMatmulRowIsTheSameAloneAndAnywhereInAnyBatch) {
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{50, 64}, {96, 77}, {33, 6000}}) {
    const int64_t total = 600;
    auto backend = MakeCpu(GetParam());
    const MatrixId plain =
        AddMatrix(*backend, n, k, RandomBf16(n * k, 1), MatrixKind::kPlain, k % 16 == 0 ? 8 : 1);
    const MatrixId gate_up = AddMatrix(*backend, 2 * n, k, RandomBf16(2 * n * k, 2), MatrixKind::kGateUp);
    const Tensor x = NewBf16(*backend, total, k, RandomBf16(total * k, 3));
    const Tensor alone = NewF32(*backend, total, n), alone16 = NewBf16(*backend, total, n);
    for (int64_t i = 0; i < total; ++i) {
      backend->Matmul(RowsOf(x, i, 1), plain, kNoBias, RowsOf(alone, i, 1));
      backend->MatmulSiluMul(RowsOf(x, i, 1), gate_up, RowsOf(alone16, i, 1));
    }
    const Tensor out = NewF32(*backend, total, n), out16 = NewBf16(*backend, total, n);
    std::vector<int64_t> batches = {70, 128, 512, 600};
    for (int64_t m = 2; m <= 64; ++m) batches.push_back(m);
    for (const int64_t m : batches) {
      const int64_t first = total - m - (total > m ? m % 7 : 0);
      backend->Matmul(RowsOf(x, first, m), plain, kNoBias, out.Rows(m));
      backend->MatmulSiluMul(RowsOf(x, first, m), gate_up, out16.Rows(m));
      ASSERT_TRUE(Bits(out, 0, m) == Bits(alone, first, m)) << "m " << m << " k " << k;
      ASSERT_TRUE(Bits(out16, 0, m) == Bits(alone16, first, m)) << "m " << m << " k " << k;
    }
  }
}

// What ranks rely on that hold a part of the leaves each.
TEST_P(PerIsa, LeavesAreSummedByOneTree) {
  struct Shape {
    int64_t m, n, leaf;
  };
  for (const Shape shape : {Shape{1, 50, 6}, {7, 96, 18}, {40, 33, 64}, {600, 16, 10}, {2, 20, 5504}}) {
    const int64_t m = shape.m, n = shape.n, leaf = shape.leaf;
    auto backend = MakeCpu(GetParam());
    const int64_t k = 8 * leaf;
    const auto w = RandomBf16(n * k, 1), x = RandomBf16(m * k, 2);
    // The sum over leaves [first, first + count), as one matrix of that many leaves.
    const auto product = [&](int64_t first, int64_t count) {
      std::vector<uint16_t> w_part, x_part;
      const auto cut = [&](const std::vector<uint16_t>& from, int64_t rows, std::vector<uint16_t>& to) {
        for (int64_t row = 0; row < rows; ++row) {
          const auto begin = from.begin() + row * k + first * leaf;
          to.insert(to.end(), begin, begin + count * leaf);
        }
      };
      cut(w, n, w_part);
      cut(x, m, x_part);
      const Tensor out = NewF32(*backend, m, n);
      backend->Matmul(NewBf16(*backend, m, count * leaf, x_part),
                      AddMatrix(*backend, n, count * leaf, w_part, MatrixKind::kPlain, count), kNoBias, out);
      return Values(out);
    };
    for (const int64_t count : {2, 4, 8}) {
      const std::vector<float> whole = product(0, count);
      const std::vector<float> left = product(0, count / 2), right = product(count / 2, count / 2);
      for (size_t i = 0; i < whole.size(); ++i) ASSERT_EQ(whole[i], left[i] + right[i]) << m << " " << count;
    }
  }
}

TEST_P(PerIsa, APromptIsTheSameHoweverItIsCut) {
  for (const auto& [query_heads, kv_heads, dim] :
       {std::array<int64_t, 3>{9, 3, 64}, {5, 1, 16}, {2, 2, 48}}) {
    const KvShape shape{.kv_heads = kv_heads, .head_dim = dim, .query_heads = query_heads};
    const int64_t length = 427;  // over the borders of blocks (16) and key tiles (192)
    std::string q, out;
    for (const int64_t chunk : {int64_t{1}, int64_t{3}, int64_t{16}, int64_t{191}, int64_t{200}, length}) {
      auto backend = MakeCpu(GetParam());
      AttentionRun run(*backend, shape, length);
      run.InChunks(chunk);
      if (q.empty()) {
        q = Bits(run.q());
        out = Bits(run.out());
      }
      EXPECT_TRUE(Bits(run.q()) == q) << chunk;
      EXPECT_TRUE(Bits(run.out()) == out) << chunk;
    }
  }
}

TEST_P(PerIsa, ASequenceIsTheSameAmongOthersAndAfterABlocksFormerOwner) {
  const KvShape shape{.layers = 1, .blocks = 8, .kv_heads = 2, .head_dim = 32, .query_heads = 6};
  const int64_t width = (6 + 4) * 32, tokens = 20;
  const auto prompt = RandomFloats(tokens * width, 1);
  const std::vector<int32_t> mine = {5, 2}, other = {0, 7}, foreign = {2, 5};
  const auto run = [&](bool crowded) {
    auto backend = MakeCpu(GetParam());
    const RopeId rope = backend->AddRope(std::vector<double>(16, 0.1), 1, 64).value();
    EXPECT_TRUE(backend->CreateKvCache(shape).ok());
    const Tensor q = NewBf16(*backend, 3 * tokens, 6 * 32), out = NewBf16(*backend, 3 * tokens, 6 * 32);
    Tensor qkv = NewF32(*backend, 3 * tokens, width);
    if (crowded) {  // a former owner of the same blocks leaves infinities and NaN behind
      for (int64_t i = 0; i < tokens; ++i)
        std::fill_n(qkv.f32(i), width, std::numeric_limits<float>::infinity());
      const SequenceRows before{0, tokens, 0, foreign, rope};
      BeginTestStep(*backend, {&before, 1});
      backend->RopeAndStore(qkv, 0, {}, q);
    }
    const int64_t at = crowded ? 25 : 0;
    for (int64_t i = 0; i < tokens; ++i) {
      std::copy_n(prompt.begin() + i * width, width, qkv.f32(at + i));
      std::copy_n(prompt.begin() + i * width, width, qkv.f32(i < 20 && crowded ? i : at + i));
    }
    std::vector<SequenceRows> sequences;
    if (crowded) sequences.push_back({0, tokens, 0, other, rope});
    sequences.push_back({at, tokens, 0, mine, rope});
    BeginTestStep(*backend, sequences);
    backend->RopeAndStore(qkv, 0, {}, q);
    backend->Attention(q, 0, out);
    return Bits(out, at, tokens);
  };
  EXPECT_TRUE(run(false) == run(true));
}

INSTANTIATE_TEST_SUITE_P(Isa, PerIsa, testing::ValuesIn(TestedIsas()),
                         [](const auto& info) { return TestNameOf(info.param); });

// What two fused multiply-adds give, odd element first, and ways to get it wrong: each in one lane only.
float RightDot(const uint16_t* w, const uint16_t* x, float acc) {
  for (int j : {1, 0}) acc = std::fma(Bf16ToFloat(w[j]), Bf16ToFloat(x[j]), acc);
  return acc;
}
float EvenFirst(const uint16_t* w, const uint16_t* x, float acc) {
  for (int j : {0, 1}) acc = std::fma(Bf16ToFloat(w[j]), Bf16ToFloat(x[j]), acc);
  return acc;
}
float RoundedOnce(const uint16_t* w, const uint16_t* x, float acc) {
  double sum = acc;
  for (int j : {1, 0}) sum += double{Bf16ToFloat(w[j])} * double{Bf16ToFloat(x[j])};
  return static_cast<float>(sum);
}
float PairFirst(const uint16_t* w, const uint16_t* x, float acc) {
  const float even = Bf16ToFloat(w[0]) * Bf16ToFloat(x[0]);
  return acc + std::fma(Bf16ToFloat(w[1]), Bf16ToFloat(x[1]), even);
}
template <unsigned kCleared>
float WithoutFlushing(const uint16_t* w, const uint16_t* x, float acc) {
  const unsigned saved = _mm_getcsr();
  _mm_setcsr(saved & ~kCleared);
  volatile float result = RightDot(w, x, acc);
  _mm_setcsr(saved);
  return result;
}

template <float (*kDot)(const uint16_t*, const uint16_t*, float), int kLane>
void InOneLane(const uint16_t* w, const uint16_t* x, float* acc) {
  const float wrong = kDot(w + 2 * kLane, x + 2 * kLane, acc[kLane]);
  Avx2Kernels().dot_pairs(w, x, acc);
  acc[kLane] = wrong;
}

TEST(IsaTest, DotProductsAgreeNoticesADifferenceInAnyOneLane) {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  const auto agrees = [](auto dot) {
    KernelTable other = Avx2Kernels();
    other.dot_pairs = dot;
    return DotProductsAgree(Avx2Kernels(), other);
  };
  EXPECT_TRUE(agrees(Avx2Kernels().dot_pairs));
  EXPECT_TRUE(agrees(InOneLane<RightDot, 5>));
  EXPECT_FALSE(agrees(InOneLane<EvenFirst, 0>));
  EXPECT_FALSE(agrees(InOneLane<EvenFirst, 15>));
  EXPECT_FALSE(agrees(InOneLane<RoundedOnce, 7>));
  EXPECT_FALSE(agrees(InOneLane<PairFirst, 8>));
  EXPECT_FALSE(agrees(InOneLane<WithoutFlushing<kFlushToZero>, 3>));
  EXPECT_FALSE(agrees(InOneLane<WithoutFlushing<kDenormalsAreZero>, 12>));
}

TEST(IsaTest, SaysWhatItChoseAndWhy) {
  const CpuFacts none{false, false, false}, avx2{true, false, false}, odd{true, true, false},
      good{true, true, true};
  EXPECT_FALSE(DecideKernels("auto", none).ok());
  EXPECT_FALSE(DecideKernels("amx-twin", none).ok());
  EXPECT_FALSE(DecideKernels("sse", good).ok());
  EXPECT_FALSE(DecideKernels("avx512", avx2).ok());
  EXPECT_FALSE(DecideKernels("avx512", odd).ok());
  EXPECT_EQ(DecideKernels("avx2", good)->isa, Isa::kAvx2);
  EXPECT_EQ(DecideKernels("auto", good)->isa, Isa::kAvx512);
  EXPECT_EQ(DecideKernels("avx512", good)->isa, Isa::kAvx512);
  const KernelChoice plain = *DecideKernels("auto", avx2), fallback = *DecideKernels("auto", odd);
  EXPECT_EQ(plain.isa, Isa::kAvx2);
  EXPECT_FALSE(plain.slower_than_expected);
  EXPECT_EQ(fallback.isa, Isa::kAvx2);
  EXPECT_TRUE(fallback.slower_than_expected);
  EXPECT_NE(fallback.reason.find("vdpbf16ps"), std::string::npos);
  EXPECT_FALSE(DecideKernels("auto", good)->slower_than_expected) << "it has no AMX";
}

TEST(IsaTest, TakesAmxOnlyWhereItIsProved) {
  const CpuFacts without{true, true, true}, proved{true, true, true, absl::OkStatus()},
      broken{true, true, true, absl::FailedPreconditionError("tiles are missing")},
      odd{true, true, false, absl::OkStatus()};
  EXPECT_EQ(DecideKernels("auto", proved)->isa, Isa::kAmx);
  EXPECT_EQ(DecideKernels("amx", proved)->isa, Isa::kAmx);
  EXPECT_EQ(DecideKernels("avx512", proved)->isa, Isa::kAvx512);
  for (const CpuFacts& cpu : {without, broken, odd}) {
    EXPECT_EQ(DecideKernels("amx", cpu).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(DecideKernels("amx-twin", cpu)->isa, Isa::kAmxTwin);
  }
  EXPECT_EQ(DecideKernels("auto", odd)->isa, Isa::kAvx2) << "attention needs the dot product";
  for (const CpuFacts& cpu : {without, proved, broken}) {
    const KernelChoice vectors = *DecideKernels("vectors", cpu);
    EXPECT_EQ(vectors.isa, Isa::kAvx512);
    EXPECT_FALSE(vectors.slower_than_expected) << "no tiles were asked for";
  }
  EXPECT_EQ(DecideKernels("vectors", odd)->isa, Isa::kAvx2);
  const KernelChoice fallback = *DecideKernels("auto", broken);
  EXPECT_EQ(fallback.isa, Isa::kAvx512);
  EXPECT_TRUE(fallback.slower_than_expected);
  EXPECT_NE(fallback.reason.find("tiles are missing"), std::string::npos);
}

TEST(IsaTest, FamiliesAreNamed) {
  EXPECT_EQ(MakeCpu("avx2")->family(), "cpu-bf16-1");
  EXPECT_EQ(MakeCpu("amx-twin")->family(), "cpu-bf16-2");
  for (const auto& [isa, family] : {std::pair{"avx512", "cpu-bf16-1"}, {"amx", "cpu-bf16-2"}}) {
    if (!ChooseKernels(isa).ok()) continue;
    EXPECT_EQ(MakeCpu(isa)->family(), family);
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
