// int8's part of "a token is a function": the bits of a row depend neither on its batch, nor on threads, nor
// on any instruction set, and leaves are summed by one tree.
#include <gtest/gtest.h>

#include <set>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/test_util.h"

namespace quire::kernels::cpu {
namespace {

class Int8SamenessTest : public testing::Test {
 protected:
  void TearDown() override {
    std::set<std::string> compared;
    for (const std::string& isa : TestedIsas()) {
      if (const auto kernels = ChooseKernels(isa); kernels.ok()) compared.insert(kernels->int8.name);
    }
    std::string missing;
    for (const std::string name : {"avx2", "avx-vnni", "avx512-vnni"}) {
      if (!compared.contains(name)) missing += name + ", ";
    }
    if (!missing.empty())
      GTEST_SKIP() << "compared, but for " << missing << "which isn't chosen on this machine";
  }
};

TEST_F(Int8SamenessTest, MatmulsAreEqualOnEveryInstructionSetAndNumberOfThreads) {
  for (const auto& [m, n, k, leaves] : {std::array<int64_t, 4>{1, 100, 96, 1},
                                        {7, 49, 512, 8},
                                        {8, 31, 5120, 8},
                                        {3, 20, 9216, 1},
                                        {40, 144, 64, 1},
                                        {33, 17, 1536, 4}}) {
    SCOPED_TRACE(testing::Message() << "m " << m << " n " << n << " k " << k);
    auto x = WildBf16(m * k, 2 * static_cast<uint32_t>(m));  // finite
    x[m * k - 1] = 0x7f80;
    const auto w = RandomBf16(n * k, 3), gates = RandomBf16(2 * n * k, 4);
    std::string plain, silu_mul;
    for (const std::string& isa : TestedIsas()) {
      if (!ChooseKernels(isa).ok()) continue;
      for (const int threads : {1, 2, 3}) {
        auto backend = MakeCpu(isa, threads);
        const Tensor in = NewBf16(*backend, m, k, x);
        const Tensor out = NewF32(*backend, m, n), activation = NewBf16(*backend, m, n);
        const VectorId bias = backend->AddVector(RandomFloats(n, 5)).value();
        backend->Matmul(in, AddInt8Matrix(*backend, n, k, w, MatrixKind::kPlain, leaves), bias, out);
        backend->MatmulSiluMul(in, AddInt8Matrix(*backend, 2 * n, k, gates, MatrixKind::kGateUp), activation);
        // The last row is NaN; which one is not promised.
        const std::string rows = Bits(out, 0, m - 1), activations = Bits(activation, 0, m - 1);
        if (plain.empty()) plain = rows, silu_mul = activations;
        EXPECT_TRUE(rows == plain) << isa << " " << threads;
        EXPECT_TRUE(activations == silu_mul) << isa << " " << threads;
      }
    }
  }
}

class Int8PerIsa : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (const auto kernels = ChooseKernels(GetParam()); !kernels.ok()) GTEST_SKIP() << kernels.status();
  }
};

TEST_P(Int8PerIsa, ARowIsTheSameAloneAndAnywhereInAnyBatch) {
  for (const auto& [n, k, leaves] : {std::array<int64_t, 3>{50, 256, 8}, {96, 576, 1}, {33, 6144, 2}}) {
    const int64_t total = 540;
    auto backend = MakeCpu(GetParam());
    const MatrixId plain = AddInt8Matrix(*backend, n, k, RandomBf16(n * k, 1), MatrixKind::kPlain, leaves);
    const MatrixId gate_up = AddInt8Matrix(*backend, 2 * n, k, RandomBf16(2 * n * k, 2), MatrixKind::kGateUp);
    const Tensor x = NewBf16(*backend, total, k, RandomBf16(total * k, 3));
    const Tensor alone = NewF32(*backend, total, n), alone16 = NewBf16(*backend, total, n);
    for (int64_t i = 0; i < total; ++i) {
      backend->Matmul(RowsOf(x, i, 1), plain, kNoBias, RowsOf(alone, i, 1));
      backend->MatmulSiluMul(RowsOf(x, i, 1), gate_up, RowsOf(alone16, i, 1));
    }
    const Tensor out = NewF32(*backend, total, n), out16 = NewBf16(*backend, total, n);
    std::vector<int64_t> batches = {70, 512, 540};
    for (int64_t m = 2; m <= 34; ++m) batches.push_back(m);
    for (const int64_t m : batches) {
      const int64_t first = total - m - (total > m ? m % 7 : 0);
      backend->Matmul(RowsOf(x, first, m), plain, kNoBias, out.Rows(m));
      backend->MatmulSiluMul(RowsOf(x, first, m), gate_up, out16.Rows(m));
      ASSERT_TRUE(Bits(out, 0, m) == Bits(alone, first, m)) << "m " << m << " k " << k;
      ASSERT_TRUE(Bits(out16, 0, m) == Bits(alone16, first, m)) << "m " << m << " k " << k;
    }
  }
}

// What ranks rely on that hold a part of the leaves each: scales of x are of a leaf's own groups.
TEST_P(Int8PerIsa, LeavesAreSummedByOneTree) {
  for (const auto& [m, n, leaf] :
       {std::array<int64_t, 3>{1, 50, 32}, {7, 96, 96}, {40, 33, 128}, {2, 20, 3456}}) {
    auto backend = MakeCpu(GetParam());
    const int64_t k = 8 * leaf, group = Int8GroupOf(k, 8), columns = n, tokens = m, width = leaf;
    const auto x = RandomBf16(m * k, 2);
    const Int8Rows w = QuantizeRows({RandomBf16(n * k, 1).data(), n, k}, k, group, 1).value();
    // The sum over leaves [first, first + count), as one matrix of that many leaves.
    const auto product = [&](int64_t first, int64_t count) {
      Int8Rows part{.rows = columns, .k = count * width, .group = group, .q = {}, .scales = {}};
      std::vector<uint16_t> x_part;
      for (int64_t row = 0; row < columns; ++row) {
        const auto q = w.q.begin() + row * k + first * width;
        part.q.insert(part.q.end(), q, q + count * width);
        const auto scales = w.scales.begin() + (row * k + first * width) / group;
        part.scales.insert(part.scales.end(), scales, scales + count * width / group);
      }
      for (int64_t row = 0; row < tokens; ++row) {
        const auto begin = x.begin() + row * k + first * width;
        x_part.insert(x_part.end(), begin, begin + count * width);
      }
      const Tensor out = NewF32(*backend, tokens, columns);
      const HostMatrix matrix = part.matrix();
      backend->Matmul(NewBf16(*backend, tokens, part.k, x_part),
                      backend->AddMatrix({&matrix, 1}, part.k, MatrixKind::kPlain, count).value(), kNoBias,
                      out);
      return Values(out);
    };
    for (const int64_t count : {2, 4, 8}) {
      const std::vector<float> whole = product(0, count);
      const std::vector<float> left = product(0, count / 2), right = product(count / 2, count / 2);
      for (size_t i = 0; i < whole.size(); ++i) ASSERT_EQ(whole[i], left[i] + right[i]) << m << " " << count;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, Int8PerIsa, testing::ValuesIn(TestedIsas()),
                         [](const auto& info) { return TestNameOf(info.param); });

}  // namespace
}  // namespace quire::kernels::cpu
