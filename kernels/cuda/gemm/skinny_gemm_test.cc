// The skinny GEMM on fibers: right beside fp64 on ugly shapes, and the same bits whatever m, tiling or ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cuda/gemm/skinny_gemm_launch.h"
#include "kernels/cuda/gemm/tree_sum.h"

namespace quire::kernels::cuda {
namespace {

constexpr int kGuard = 3;  // columns of y that nobody may write
constexpr DeviceSize kTwo{2, kSharedBytesSm90};

struct Problem {
  Problem(int m_rows, int n_rows, int k_elements, uint64_t seed) : m(m_rows), n(n_rows), k(k_elements) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<uint16_t>& values, int rows) {
      values.resize(static_cast<size_t>(rows) * k);
      for (uint16_t& value : values) value = kernels::FloatToBf16(normal(random));
    };
    fill(x, m);
    fill(weights, n);
    bias.resize(n);
    for (float& value : bias) value = normal(random);
  }

  double Exact(int row, int column) const {
    double sum = 0;
    for (int i = 0; i < k; ++i) {
      sum += static_cast<double>(kernels::Bf16ToFloat(x[row * k + i])) *
             kernels::Bf16ToFloat(weights[column * k + i]);
    }
    return sum;
  }

  template <typename Out>
  SkinnyGemmParams<Out> Params(int rows, std::vector<Out>& y) const {
    y.resize(static_cast<size_t>(rows) * (n + kGuard));
    std::memset(y.data(), 0xff, y.size() * sizeof(Out));
    return {weights.data(), x.data(), y.data(), nullptr, rows, n, k, k, k, n + kGuard};
  }

  int m, n, k;
  std::vector<uint16_t> x, weights;
  std::vector<float> bias;
};

bool SameBits(float a, float b) { return std::memcmp(&a, &b, 4) == 0; }

// Of all but the guard columns.
void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b, int n,
                    const std::string& what) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (i % (n + kGuard) >= static_cast<size_t>(n)) continue;
    EXPECT_TRUE(SameBits(a[i], b[i])) << what << " at " << i;
  }
}

std::vector<float> RunAll(const Problem& problem, int rows, int processors = 1, uint64_t seed = 1,
                          int leaves = kSkinnyLeaves) {
  std::vector<float> y;
  Stream stream(seed);
  LaunchSkinnyGemm(stream, problem.Params(rows, y), leaves, {processors, kSharedBytesSm90});
  EXPECT_EQ(stream.Synchronize(), "");
  return y;
}

TEST(SkinnyGemm, AgreesWithFp64OnUglyShapes) {
  const int shapes[][3] = {{1, 1, 8},      {1, 16, 32},   {2, 17, 200},   {8, 33, 1032}, {9, 40, 1024},
                           {16, 50, 2088}, {5, 15, 2048}, {17, 70, 1032}, {32, 33, 520}};
  for (const auto& [m, n, k] : shapes) {
    const Problem problem(m, n, k, 7 * m + n);
    const std::vector<float> y = RunAll(problem, m);
    double error = 0, norm = 0;
    for (int row = 0; row < m; ++row) {
      for (int column = 0; column < n; ++column) {
        const double exact = problem.Exact(row, column), ours = y[row * (n + kGuard) + column];
        error += (exact - ours) * (exact - ours);
        norm += exact * exact;
      }
      for (int i = n; i < n + kGuard; ++i) EXPECT_TRUE(std::isnan(y[row * (n + kGuard) + i]));
    }
    EXPECT_LT(std::sqrt(error / norm), 2e-6) << m << " x " << n << " x " << k;
  }
}

TEST(SkinnyGemm, ARowsBitsDependOnNeitherNeighboursNorScheduling) {
  const Problem problem(32, 70, 1096, 3);
  const std::vector<float> all = RunAll(problem, 32);
  for (const int rows : {1, 2, 7, 8, 9, 15, 16, 17, 25, 31}) {
    const std::vector<float> y = RunAll(problem, rows, rows % 3 + 1, 100 + rows);
    ExpectSameBits(y, all, problem.n, std::to_string(rows) + " rows");
  }
}

TEST(SkinnyGemm, LeavesComputedApartMeetInTheSameTree) {
  const Problem problem(5, 36, 8 * 96, 4);
  const std::vector<float> want = RunAll(problem, 5);
  const int leaf_k = problem.k / kSkinnyLeaves, count = problem.m * problem.n;
  std::vector<float> leaves(kSkinnyLeaves * count, std::nanf("")), y(count, std::nanf(""));
  Stream stream;
  for (int leaf = 0; leaf < kSkinnyLeaves; ++leaf) {
    const SkinnyGemmParams<float> params{problem.weights.data() + leaf * leaf_k,
                                         problem.x.data() + leaf * leaf_k,
                                         leaves.data() + leaf * count,
                                         nullptr,
                                         problem.m,
                                         problem.n,
                                         leaf_k,
                                         problem.k,
                                         problem.k,
                                         problem.n};
    LaunchSkinnyGemm(stream, params, 1, kTwo);
  }
  TreeSum(stream, kSkinnyLeaves, {leaves.data(), y.data(), count});
  ASSERT_EQ(stream.Synchronize(), "");
  for (int row = 0; row < problem.m; ++row) {
    for (int i = 0; i < problem.n; ++i)
      EXPECT_TRUE(SameBits(y[row * problem.n + i], want[row * (problem.n + kGuard) + i])) << row << " " << i;
  }
  TreeSum(stream, kSkinnyLeaves, {leaves.data(), y.data(), 3});
  EXPECT_NE(stream.Synchronize(), "");
}

template <typename Tiling>
void ExpectSameAs(const std::vector<float>& expected, const Problem& problem, int processors) {
  std::vector<float> y;
  Stream stream(processors);
  LaunchSkinnyTiling<Tiling, true>(stream, problem.Params(problem.m, y), {processors, kSharedBytesSm90},
                                   Order::kOverlapping);
  ASSERT_EQ(stream.Synchronize(), "");
  ExpectSameBits(y, expected, problem.n, std::to_string(Tiling::kSplits) + " splits");
}

TEST(SkinnyGemm, TilingsAgreeBitByBit) {
  const Problem narrow(3, 70, 1064, 5), wide(13, 70, 1064, 5);
  const std::vector<float> y3 = RunAll(narrow, 3), y13 = RunAll(wide, 13);
  ExpectSameAs<SkinnyTiling<4, 2, 2, 1, 1, 3, 1>>(y3, narrow, 2);
  ExpectSameAs<SkinnyTiling<8, 1, 1, 2, 1, 2, 2>>(y3, narrow, 9);
  ExpectSameAs<SkinnyTiling<2, 4, 3, 1, 1, 3, 3>>(y3, narrow, 1);
  ExpectSameAs<SkinnyTiling<1, 8, 2, 1, 2, 2, 4>>(y13, wide, 1);
  ExpectSameAs<SkinnyTiling<8, 1, 1, 2, 2, 3, 2>>(y13, wide, 2);
  ExpectSameAs<SkinnyTiling<4, 2, 1, 4, 4, 3, 2>>(y13, wide, 1);
  ExpectSameAs<SkinnyTiling<4, 2, 1, 3, 2, 5, 2>>(y13, wide, 1);
  ExpectSameAs<SkinnyTiling<4, 2, 1, 3, 2, 3, 4>>(y13, wide, 2);
  ExpectSameAs<SkinnyTiling<8, 1, 1, 2, 4, 5, 1>>(y13, wide, 2);
}

TEST(SkinnyGemm, ChainsAgreeBitByBit) {
  const Problem narrow(3, 70, 1064, 5), wide(13, 70, 1064, 5);
  const std::vector<float> y3 = RunAll(narrow, 3, 2, 1, 1), y13 = RunAll(wide, 13, 1, 1, 1);
  ExpectSameAs<SkinnyTiling<1, 1, 3, 2, 1, 3, 3>>(y3, narrow, 2);
  ExpectSameAs<SkinnyTiling<1, 1, 2, 1, 2, 5, 1>>(y13, wide, 1);
  ExpectSameAs<SkinnyTiling<1, 1, 1, 4, 2, 2, 2>>(y13, wide, 2);
  ExpectSameAs<SkinnyTiling<1, 1, 1, 2, 4, 4, 4>>(y13, wide, 1);
  // In the order of k.
  for (int n = 0; n < 70; ++n) {
    float sum = 0;
    for (int i = 0; i < 1064; ++i) {
      sum += kernels::Bf16ToFloat(narrow.x[i]) * kernels::Bf16ToFloat(narrow.weights[n * 1064 + i]);
    }
    EXPECT_TRUE(SameBits(sum, y3[n]));
  }
}

// Five tiles of 32 rows of weights: more than three to a multiprocessor where there is one, fewer where two.
TEST(SkinnyGemm, AChainOfManyTilesHasTheBitsOfOneOfFew) {
  using Four = SkinnyTiling<1, 1, 1, 2, 4, 3, 4>;
  for (const int m : {17, 32}) {
    const Problem problem(m, 130, 1064, static_cast<uint64_t>(m));
    const std::vector<float> few = RunAll(problem, m, 2, 1, 1);
    ExpectSameBits(RunAll(problem, m, 1, 2, 1), few, problem.n, std::to_string(m) + " rows");
    ExpectSameAs<Four>(few, problem, 1);
  }
}

TEST(SkinnyGemm, FitsSm80WithTheSameBits) {
  const DeviceSize sm80{2, kSharedBytesSm80};
  for (const int leaves : {1, 2, 4, 8}) {
    for (const int m : {3, 16, 27}) {
      const Problem problem(m, 70, 1064, static_cast<uint64_t>(m) + 8);
      std::vector<float> y;
      Stream stream(7, sm80);
      LaunchSkinnyGemm(stream, problem.Params(m, y), leaves, sm80);
      EXPECT_EQ(stream.Synchronize(), "") << leaves << " leaves, m " << m;
      ExpectSameBits(y, RunAll(problem, m, 2, 1, leaves), problem.n, std::to_string(leaves) + " leaves");
    }
  }
}

// What a sum over ranks in the tree's order gives: ((r0 + r1) + (r2 + r3)) + ...
std::vector<float> RunRanks(const Problem& problem, int ranks) {
  std::vector<std::vector<float>> parts(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    SkinnyGemmParams<float> params = problem.Params(problem.m, parts[rank]);
    params.k = problem.k / ranks;
    params.weights += rank * params.k;
    params.x += rank * params.k;
    Stream stream(rank + 1);
    LaunchSkinnyGemm(stream, params, kSkinnyLeaves / ranks, kTwo);
    EXPECT_EQ(stream.Synchronize(), "");
  }
  for (int width = 1; width < ranks; width *= 2) {
    for (int rank = 0; rank < ranks; rank += 2 * width) {
      for (size_t i = 0; i < parts[0].size(); ++i) parts[rank][i] = parts[rank][i] + parts[rank + width][i];
    }
  }
  return parts[0];
}

TEST(SkinnyGemm, RanksAgreeBitByBit) {
  for (const int m : {2, 11, 19}) {
    const Problem problem(m, 35, 32 * 40, m);
    const std::vector<float> one = RunAll(problem, m);
    for (const int ranks : {2, 4, 8}) {
      const std::vector<float> sum = RunRanks(problem, ranks);
      ExpectSameBits(sum, one, problem.n, std::to_string(ranks) + " ranks");
    }
  }
}

TEST(SkinnyGemm, Bf16OutputIsTheRoundedSumWithBias) {
  const Problem problem(10, 21, 264, 9);
  const std::vector<float> sums = RunAll(problem, 10);
  std::vector<uint16_t> y;
  SkinnyGemmParams<uint16_t> params = problem.Params(10, y);
  params.bias = problem.bias.data();
  Stream stream;
  LaunchSkinnyGemm(stream, params, kSkinnyLeaves, kTwo);
  ASSERT_EQ(stream.Synchronize(), "");
  for (int row = 0; row < 10; ++row) {
    for (int n = 0; n < 21; ++n) {
      EXPECT_EQ(y[row * (21 + kGuard) + n],
                kernels::FloatToBf16(sums[row * (21 + kGuard) + n] + problem.bias[n]));
    }
  }
}

TEST(SkinnyGemm, SaysWhatItCannotTake) {
  const Problem problem(1, 4, 16, 1);
  std::vector<float> y;
  SkinnyGemmParams<float> params = problem.Params(1, y);
  Stream stream;
  params.m = 33;
  LaunchSkinnyGemm(stream, params, 8, kTwo);
  EXPECT_NE(stream.Synchronize(), "");
  params.m = 1;
  LaunchSkinnyGemm(stream, params, 3, kTwo);
  EXPECT_NE(stream.Synchronize(), "");
  LaunchSkinnyGemm(stream, params, 8, {2, 99 << 10});
  EXPECT_NE(stream.Synchronize(), "");
}

}  // namespace
}  // namespace quire::kernels::cuda
