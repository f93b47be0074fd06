#include "kernels/sampling/fixed_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace quire::kernels {
namespace {

TEST(FixedMathTest, ExpIsWithinTwoUlp) {
  for (float x = 0.0f; x > -87.0f; x -= 0.00137f) {
    const double exact = std::exp(double{x});
    EXPECT_NEAR(ExpOfNegative(x), exact, 2.4e-7 * exact) << x;
  }
  EXPECT_EQ(ExpOfNegative(0.0f), 1.0f);
  EXPECT_EQ(ExpOfNegative(-88.0f), 0.0f);
  EXPECT_EQ(ExpOfNegative(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(ExpOfNegative(-std::numeric_limits<float>::max()), 0.0f);
}

TEST(FixedMathTest, LogIsExactToDouble) {
  for (const double x :
       {1e-300, 1e-3, 0.5, 0.70710678, 0.99999, 1.0, 1.00001, 1.41421356, 2.0, 49152.0, 1e300}) {
    EXPECT_NEAR(LogOfPositive(x), std::log(x), 4e-16 * std::max(1.0, std::abs(std::log(x)))) << x;
  }
}

TEST(FixedMathTest, PowerIsExactToDouble) {
  for (const double base : {1.5, 10000.0, 5e5, 1e6, 1e7}) {
    for (double exponent = -1.0; exponent <= 1.0; exponent += 1.0 / 64) {
      const auto exact =
          static_cast<double>(std::pow(static_cast<long double>(base), static_cast<long double>(exponent)));
      EXPECT_NEAR(PowerOf(base, exponent), exact, 4.5e-16 * exact) << base << "^" << exponent;
    }
  }
  EXPECT_EQ(PowerOf(1e6, 0.0), 1.0);
}

TEST(FixedMathTest, NoiseIsPhilox) {
  // The published known answer for a zero key and counter: 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
  EXPECT_EQ(UniformNoise(0, 0, 0), static_cast<double>(0xe169c58d6627e8d5u >> 11) * 0x1p-53);
}

TEST(FixedMathTest, NoiseDiffersInEveryArgument) {
  std::set<double> values;
  double sum = 0.0;
  for (uint64_t seed : {uint64_t{1}, uint64_t{1} << 40, ~uint64_t{0}}) {
    for (uint32_t choice = 0; choice < 4; ++choice) {
      for (uint32_t position = 0; position < 1000; ++position) {
        const double noise = UniformNoise(seed, choice, position);
        EXPECT_TRUE(noise >= 0.0 && noise < 1.0);
        values.insert(noise);
        sum += noise;
      }
    }
  }
  EXPECT_EQ(values.size(), 12000u);
  EXPECT_NEAR(sum / 12000.0, 0.5, 0.01);
}

}  // namespace
}  // namespace quire::kernels
