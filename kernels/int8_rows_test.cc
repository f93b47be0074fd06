// The definition of int8 itself: what a row becomes, how far from it that is, and what is refused.
#include "kernels/int8_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/bf16.h"

namespace quire::kernels {
namespace {

std::vector<uint16_t> RandomRow(int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> row(k);
  for (uint16_t& value : row) value = FloatToBf16(normal(random));
  return row;
}

struct Quantized {
  Quantized(const std::vector<uint16_t>& row, int64_t group) : q(row.size()), scales(row.size() / group) {
    QuantizeRow(row.data(), std::ssize(row), group, q.data(), scales.data());
  }
  std::vector<int8_t> q;
  std::vector<float> scales;
};

// Rotated once more and divided by the group's size, a group is itself again.
std::vector<double> Restored(const Quantized& from, int64_t group) {
  std::vector<double> values(from.q.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = double{from.scales[i / group]} * from.q[i];
  for (size_t at = 0; at < values.size(); at += group) {
    std::vector<double> rotated(group);
    for (int64_t i = 0; i < group; ++i) {
      for (int64_t j = 0; j < group; ++j) {
        const bool minus = __builtin_popcountll(static_cast<uint64_t>(i & j)) % 2 != 0;
        rotated[i] += (minus ? -1 : 1) * values[at + j] / static_cast<double>(group);
      }
    }
    std::copy(rotated.begin(), rotated.end(), values.begin() + static_cast<int64_t>(at));
  }
  return values;
}

TEST(Int8RowsTest, AGroupIsTheLargestThatALeafIsMadeOf) {
  EXPECT_EQ(Int8GroupOf(5120, 1), 128);
  EXPECT_EQ(Int8GroupOf(5120, 8), 128);
  EXPECT_EQ(Int8GroupOf(27648, 8), 128);
  EXPECT_EQ(Int8GroupOf(896, 2), 64);
  EXPECT_EQ(Int8GroupOf(576, 1), 64);
  EXPECT_EQ(Int8GroupOf(256, 8), 32);
  EXPECT_EQ(Int8GroupOf(256, 4), 64);
  EXPECT_EQ(Int8GroupOf(240, 1), 0);
  EXPECT_EQ(Int8GroupOf(128, 8), 0);
  EXPECT_EQ(MatrixBytes(10, 256, 0), 10 * 512);
  EXPECT_EQ(MatrixBytes(10, 256, 64), 10 * (256 + 4 * 2));
}

TEST(Int8RowsTest, RowsAreTheirIntegersWithinHalfAStep) {
  for (const int64_t group : {32, 64, 128}) {
    const int64_t k = 3 * group;
    const std::vector<uint16_t> row = RandomRow(k, static_cast<uint32_t>(group));
    const Quantized got(row, group);
    const std::vector<double> values = Restored(got, group);
    double squares = 0, error = 0;
    for (int64_t i = 0; i < k; ++i) {
      squares += std::pow(Bf16ToFloat(row[i]), 2);
      error += std::pow(values[i] - Bf16ToFloat(row[i]), 2);
      EXPECT_LE(std::abs(got.q[i]), 127);
    }
    EXPECT_LT(std::sqrt(error / squares), 0.01) << group;
    for (const float scale : got.scales) EXPECT_EQ(Bf16ToFloat(FloatToBf16(scale)), scale);
  }
}

// One that stands out among others costs them little: that is what the rotation is for.
TEST(Int8RowsTest, WhatStandsOutIsSpread) {
  std::vector<uint16_t> row = RandomRow(128, 1);
  row[77] = FloatToBf16(60);
  const std::vector<double> values = Restored(Quantized(row, 128), 128);
  double error = 0;
  for (int64_t i = 0; i < 128; ++i) error += std::pow(values[i] - Bf16ToFloat(row[i]), 2);
  const double step_alone = 60.0 / 127;  // of a scale that reaches to it
  EXPECT_LT(std::sqrt(error / 128), step_alone / std::sqrt(12.0) / 3);
}

TEST(Int8RowsTest, ZerosHaveScaleZero) {
  std::vector<uint16_t> row(64, 0);
  row[3] = 0x8000;                 // -0
  row[5] = FloatToBf16(0x1p-61f);  // counts as 0
  row[9] = 0x0001;                 // a denormal
  const Quantized got(row, 32);
  EXPECT_EQ(got.q, std::vector<int8_t>(64));
  EXPECT_EQ(got.scales, std::vector<float>(2));
}

TEST(Int8RowsTest, WhatIsNotFiniteMakesItsGroupsScaleNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {kInfinity, -kInfinity, std::nanf(""), 3e38f}) {
    std::vector<uint16_t> row = RandomRow(96, 2);
    row[40] = FloatToBf16(value);
    row[41] = FloatToBf16(value);  // 3e38 twice is more than a float holds
    const Quantized got(row, 32);
    EXPECT_FALSE(std::isnan(got.scales[0]));
    EXPECT_TRUE(std::isnan(got.scales[1])) << value;
    EXPECT_FALSE(std::isnan(got.scales[2]));
    for (int i = 32; i < 64; ++i) EXPECT_EQ(got.q[i], 0);
  }
}

TEST(Int8RowsTest, AWeightsRowsAreThoseOfOneRowOnAnyNumberOfThreads) {
  const int64_t rows = 37, k = 192, stride = 200, group = 64;
  const std::vector<uint16_t> weights = RandomRow(rows * stride, 3);
  for (const int threads : {1, 2, 5}) {
    const auto made = QuantizeRows({weights.data(), rows, stride}, k, group, threads);
    ASSERT_TRUE(made.ok()) << made.status();
    for (int64_t row = 0; row < rows; ++row) {
      const auto begin = weights.begin() + row * stride;
      const Quantized one({begin, begin + k}, group);
      EXPECT_TRUE(std::equal(one.q.begin(), one.q.end(), made->q.begin() + row * k)) << row;
      for (int64_t g = 0; g < k / group; ++g) {
        EXPECT_EQ(Bf16ToFloat(made->scales[row * (k / group) + g]), one.scales[g] / 64);
      }
    }
  }
}

TEST(Int8RowsTest, RefusesWeightsThatAreNotFinite) {
  std::vector<uint16_t> weights = RandomRow(20 * 64, 4);
  weights[13 * 64 + 40] = 0x7fc0;
  const absl::Status status = QuantizeRows({weights.data(), 20, 64}, 64, 32, 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("row 13 has among its columns 32 to 63"), std::string::npos) << status;
}

}  // namespace
}  // namespace quire::kernels
