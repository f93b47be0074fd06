// The int8 matmuls against fp64 of the very same integers and scales, on every instruction set, over shapes
// that fit no register tile; and rows of x against the definition, bit by bit.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/cpu/agreement.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/test_util.h"
#include "kernels/reference/reference_backend.h"

namespace quire::kernels::cpu {
namespace {

class Int8Test : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto backend = MakeBackend({.device = "cpu", .threads = 2, .isa = GetParam()});
    if (backend.status().code() == absl::StatusCode::kFailedPrecondition) GTEST_SKIP() << backend.status();
    cpu_ = std::move(backend).value();
  }

  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<Backend> reference_ = MakeReferenceBackend();
};

struct Shape {
  int64_t m, n, k, leaves;
};
std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (int64_t m = 1; m <= 33; ++m) shapes.push_back({m, 33 + m % 31, 32 * (1 + m % 7), 1});
  for (const int64_t n : {1, 15, 16, 17, 47, 48, 49, 130}) {
    for (const int64_t m : {1, 7, 70}) shapes.push_back({m, n, 192, 1});
  }
  for (const int64_t leaves : {2, 4, 8}) {
    for (const int64_t leaf : {32, 64, 96, 128, 640})
      shapes.push_back({1 + leaf % 11, 50, leaves * leaf, leaves});
  }
  shapes.push_back({515, 40, 256, 2});
  shapes.push_back({3, 35, 27648, 8});
  shapes.push_back({2, 35, 5120, 1});
  for (const int64_t more_than_a_chunk : {9216, 2 * 8192 + 128})
    shapes.push_back({3, 35, more_than_a_chunk, 1});
  return shapes;
}

TEST_P(Int8Test, MatmulIsTheExactSumWithinFp32Rounding) {
  for (const auto& [m, n, k, leaves] : Shapes()) {
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k << " leaves " << leaves);
    const auto x = RandomBf16(m * k, 1), w = RandomBf16(n * k, 2);
    const auto bias = RandomFloats(n, 3);
    std::vector<float> results[2];
    for (Backend* backend : {cpu_.get(), reference_.get()}) {
      const MatrixId matrix = AddInt8Matrix(*backend, n, k, w, MatrixKind::kPlain, leaves);
      const VectorId vector = m % 2 ? backend->AddVector(bias).value() : kNoBias;
      const Tensor out = NewF32(*backend, m, n);
      backend->Matmul(NewBf16(*backend, m, k, x), matrix, vector, out);
      results[backend == cpu_.get() ? 0 : 1] = Values(out);
    }
    EXPECT_LT(RelativeError(results[0], results[1]), 3e-7);
  }
}

TEST_P(Int8Test, MatmulSiluMulIsTheExactOneWithinBf16Rounding) {
  for (const auto& [m, n, k, leaves] : Shapes()) {
    if (leaves > 1) continue;
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k);
    const auto x = RandomBf16(m * k, 1),
               w = RandomBf16(2 * n * k, 2, 2.0f / std::sqrt(static_cast<float>(k)));
    std::vector<float> results[2];
    for (Backend* backend : {cpu_.get(), reference_.get()}) {
      const MatrixId matrix = AddInt8Matrix(*backend, 2 * n, k, w, MatrixKind::kGateUp);
      const Tensor out = NewBf16(*backend, m, n);
      backend->MatmulSiluMul(NewBf16(*backend, m, k, x), matrix, out);
      results[backend == cpu_.get() ? 0 : 1] = Values(out);
    }
    for (size_t i = 0; i < results[1].size(); ++i) {
      ASSERT_NEAR(results[0][i], results[1][i], std::abs(results[1][i]) / 128 + 1e-6) << i;
    }
    EXPECT_LT(RelativeError(results[0], results[1]), 1e-3);
  }
}

// What it is for: near the product of the numbers before they became int8.
TEST_P(Int8Test, MatmulIsNearThatOfBf16) {
  const int64_t m = 5, n = 100, k = 1024;
  const auto x = RandomBf16(m * k, 1), w = RandomBf16(n * k, 2);
  const Tensor in = NewBf16(*cpu_, m, k, x), exact = NewF32(*cpu_, m, n), out = NewF32(*cpu_, m, n);
  cpu_->Matmul(in, AddMatrix(*cpu_, n, k, w), kNoBias, exact);
  cpu_->Matmul(in, AddInt8Matrix(*cpu_, n, k, w), kNoBias, out);
  EXPECT_LT(RelativeError(Values(out), Values(exact)), 0.015);
}

// Every integer as far from 0 as it can be, which would overflow any sum of 16 bits.
TEST_P(Int8Test, SumsOfExtremesAreExact) {
  const int64_t n = 33;
  for (const int64_t group : {32, 64, 128}) {
    const int64_t k = 3 * group;
    std::vector<int8_t> q(n * k);
    for (int64_t i = 0; i < n * k; ++i)
      q[i] = i / k % 3 == 0 ? 127 : i / k % 3 == 1 ? -127 : i % 2 ? 127 : -127;
    const std::vector<uint16_t> scales(n * 3, FloatToBf16(1));
    const HostMatrix part{q.data(), n, k, MatrixFormat::kInt8, group, scales.data()};
    const MatrixId matrix = cpu_->AddMatrix({&part, 1}, k, MatrixKind::kPlain, 1).value();
    // A group of one number, first, is rotated into as many of the same.
    std::vector<uint16_t> x(k);
    for (int64_t i = 0; i < k; i += group) x[i] = FloatToBf16(127);
    const Tensor out = NewF32(*cpu_, 1, n);
    cpu_->Matmul(NewBf16(*cpu_, 1, k, x), matrix, kNoBias, out);
    for (int64_t row = 0; row < n; ++row) {
      const int64_t want = row % 3 == 0 ? 127 * 127 * k : row % 3 == 1 ? -127 * 127 * k : 0;
      EXPECT_EQ(out.f32()[row], static_cast<float>(want)) << row;
    }
  }
}

TEST_P(Int8Test, ZerosGiveZeroAndTheBias) {
  const int64_t n = 20, k = 128;
  std::vector<uint16_t> w = RandomBf16(n * k, 1);
  std::fill_n(w.begin() + 7 * k, k, uint16_t{0});
  const auto bias = RandomFloats(n, 2);
  std::vector<uint16_t> x = RandomBf16(2 * k, 3);
  std::fill_n(x.begin(), k, uint16_t{0});
  const Tensor out = NewF32(*cpu_, 2, n);
  cpu_->Matmul(NewBf16(*cpu_, 2, k, x), AddInt8Matrix(*cpu_, n, k, w), cpu_->AddVector(bias).value(), out);
  for (int64_t i = 0; i < n; ++i) EXPECT_EQ(out.f32(0)[i], bias[i]);
  EXPECT_EQ(out.f32(1)[7], bias[7]);
}

// A row that went wrong says so, as in bf16, and harms no other.
TEST_P(Int8Test, ARowThatIsNotFiniteGivesNaN) {
  const int64_t m = 9, n = 20, k = 256;
  const auto w = RandomBf16(n * k, 1);
  const MatrixId matrix = AddInt8Matrix(*cpu_, n, k, w);
  auto x = RandomBf16(m * k, 3);
  const Tensor good = NewF32(*cpu_, m, n), out = NewF32(*cpu_, m, n);
  cpu_->Matmul(NewBf16(*cpu_, m, k, x), matrix, kNoBias, good);
  x[4 * k + 200] = 0x7f80;  // infinity
  x[6 * k + 3] = 0x7fc0;
  cpu_->Matmul(NewBf16(*cpu_, m, k, x), matrix, kNoBias, out);
  for (int64_t row = 0; row < m; ++row) {
    const bool broken = row == 4 || row == 6;
    EXPECT_EQ(Bits(out, row, 1) == Bits(good, row, 1), !broken) << row;
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(std::isnan(out.f32(row)[i]), broken) << row;
  }
}

TEST_P(Int8Test, CountsBytesOfNumbersAndScales) {
  AddInt8Matrix(*cpu_, 33, 192, RandomBf16(33 * 192, 1));
  EXPECT_EQ(cpu_->weight_stats().bytes, 33 * (192 + 3 * 2));
}

TEST_P(Int8Test, PacksPartsAndColumnSlices) {
  const auto q = RandomBf16(10 * 200, 1);  // any bits
  const auto* bytes = reinterpret_cast<const int8_t*>(q.data());
  const std::vector<uint16_t> scales = RandomBf16(40, 2);
  const HostMatrix parts[] = {{bytes + 3, 2, 200, MatrixFormat::kInt8, 32, scales.data()},
                              {bytes + 800, 5, 201, MatrixFormat::kInt8, 32, scales.data() + 8}};
  std::vector<float> results[2];
  for (Backend* backend : {cpu_.get(), reference_.get()}) {
    const Tensor out = NewF32(*backend, 3, 7);
    const MatrixId matrix = backend->AddMatrix(parts, 64, MatrixKind::kPlain, 2).value();
    backend->Matmul(NewBf16(*backend, 3, 64, RandomBf16(3 * 64, 4)), matrix, kNoBias, out);
    results[backend == cpu_.get() ? 0 : 1] = Values(out);
  }
  EXPECT_LT(RelativeError(results[0], results[1]), 3e-7);
}

TEST_P(Int8Test, RefusesWhatIsNoInt8MatrixAtLoad) {
  const std::vector<int8_t> q(4 * 256);
  const std::vector<uint16_t> scales(4 * 8), bf16(4 * 256);
  const HostMatrix good{q.data(), 4, 256, MatrixFormat::kInt8, 32, scales.data()};
  const auto refused = [&](std::vector<HostMatrix> parts, int64_t k, int64_t leaves,
                           MatrixKind kind = MatrixKind::kPlain) {
    return !cpu_->AddMatrix(parts, k, kind, leaves).ok() &&
           !reference_->AddMatrix(parts, k, kind, leaves).ok();
  };
  EXPECT_FALSE(refused({good}, 256, 8));
  HostMatrix bad = good;
  bad.group = 48;
  EXPECT_TRUE(refused({bad}, 192, 1));
  bad.group = 64;
  EXPECT_TRUE(refused({bad}, 256, 8)) << "a leaf of half a group";
  EXPECT_TRUE(refused({good}, 240, 1));
  EXPECT_TRUE(refused({good, {bf16.data(), 4, 256}}, 256, 1, MatrixKind::kGateUp)) << "two formats";
  bad = good;
  bad.scales = nullptr;
  EXPECT_TRUE(refused({bad}, 256, 1));
  EXPECT_TRUE(refused({{bf16.data(), 4, 256, MatrixFormat::kBf16, 32}}, 256, 1));
}

INSTANTIATE_TEST_SUITE_P(Isa, Int8Test, testing::ValuesIn(TestedIsas()),
                         [](const auto& info) { return TestNameOf(info.param); });

using Int8DeathTest = testing::Test;
TEST(Int8DeathTest, AnEmbeddingIsNoInt8Matrix) {
  auto backend = MakeCpu();
  const MatrixId matrix = AddInt8Matrix(*backend, 4, 32, RandomBf16(4 * 32, 1));
  BeginTestStep(*backend, {.ids = std::vector<int32_t>(1), .sequences = {}, .wanted_rows = {}});
  const Tensor out = NewF32(*backend, 1, 32);
  EXPECT_DEATH(backend->Embed(matrix, 0, out), "Embed was called against its contract: the table is not");
}

// Those of this CPU.
std::vector<Int8Kernels> AllInt8Kernels() {
  std::vector<Int8Kernels> kernels = {Avx2Int8Kernels()};
  for (const char* isa : {"avx2", "avx512"}) {
    const auto table = ChooseKernels(isa);
    if (table.ok() && table->int8.name != std::string(kernels[0].name)) kernels.push_back(table->int8);
  }
  return kernels;
}

TEST(Int8KernelsTest, RowsOfXAreTheDefinitionsBitByBit) {
  const FlushDenormals flush;
  for (const int64_t group : {32, 64, 128}) {
    const int64_t k = 15 * group, groups = 15;
    for (uint32_t seed = 0; seed < 20; ++seed) {
      std::vector<uint16_t> x = WildBf16(k, seed);
      if (seed % 4 == 1) x = RandomBf16(k, seed, 1e-18f);  // around what counts as 0
      if (seed % 4 == 3) x = RandomBf16(k, seed, 3e36f);   // around what adds up to infinity
      std::vector<int8_t> want(k);
      std::vector<float> scales(groups);
      QuantizeRow(x.data(), k, group, want.data(), scales.data());
      for (const Int8Kernels& kernels : AllInt8Kernels()) {
        std::vector<int8_t> got(k);
        std::vector<float> got_scales(groups);
        std::vector<int32_t> starts(groups);
        kernels.quantize(x.data(), k, group, got.data(), got_scales.data(), starts.data());
        ASSERT_EQ(got, want) << kernels.name << " " << seed;
        for (int64_t g = 0; g < groups; ++g) {
          const float scale = got_scales[g];
          ASSERT_TRUE(std::isnan(scale) ? std::isnan(scales[g]) : scale == scales[g]) << kernels.name;
          int32_t sum = 0;
          for (int64_t i = g * group; i < (g + 1) * group; ++i) sum += want[i];
          ASSERT_EQ(starts[g], -128 * sum);
        }
      }
    }
  }
}

// Ways to be wrong, on top of AVX2's.
template <int kWay>
void WrongMatmul(const Int8Args& args) {
  Int8Args changed = args;
  std::vector<int32_t> starts(args.starts, args.starts + args.m * args.scale_stride);
  if (kWay == 0) starts[10 * args.scale_stride] += 1;
  if (kWay == 1) std::swap(changed.leaves, changed.leaf_groups);
  changed.starts = starts.data();
  Avx2Int8Kernels().plain(changed);
  if (kWay == 2) std::swap(static_cast<float*>(args.out)[args.rows - 1], static_cast<float*>(args.out)[0]);
}
void TruncatingQuantize(const uint16_t* x, int64_t k, int64_t group, int8_t* q, float* scales,
                        int32_t* starts) {
  Avx2Int8Kernels().quantize(x, k, group, q, scales, starts);
  if (q[0] > 0) q[0] -= 1;
}

TEST(Int8KernelsTest, AgreementNoticesADifference) {
  const Int8Kernels right = Avx2Int8Kernels();
  for (const Int8Kernels& kernels : AllInt8Kernels())
    EXPECT_TRUE(Int8KernelsAgree(kernels, right)) << kernels.name;
  const auto wrong = [&](auto change) {
    Int8Kernels other = right;
    change(other);
    return !Int8KernelsAgree(other, right);
  };
  EXPECT_TRUE(wrong([](Int8Kernels& other) { other.plain = WrongMatmul<0>; }));
  EXPECT_TRUE(wrong([](Int8Kernels& other) { other.plain = WrongMatmul<1>; }));
  EXPECT_TRUE(wrong([](Int8Kernels& other) { other.plain = WrongMatmul<2>; }));
  EXPECT_TRUE(wrong([](Int8Kernels& other) { other.quantize = TruncatingQuantize; }));
}

}  // namespace
}  // namespace quire::kernels::cpu
