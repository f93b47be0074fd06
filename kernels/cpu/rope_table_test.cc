#include "kernels/cpu/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/rope_values.h"

namespace quire::kernels::cpu {
namespace {

TEST(SinCosTest, AgreesWithTheMathLibraryOverTheWholeRange) {
  std::mt19937_64 random(3);
  for (const double limit : {1e-9, 1.0, 10.0, 131072.0, 1.6e6}) {
    std::uniform_real_distribution<double> draw(0, limit);
    for (int i = 0; i < 20000; ++i) {
      const double angle = draw(random);
      const SinCos got = SinCosOf(angle);
      ASSERT_NEAR(got.sine, std::sin(angle), 5e-16) << angle;
      ASSERT_NEAR(got.cosine, std::cos(angle), 5e-16) << angle;
    }
  }
}

TEST(SinCosTest, IsExactAtZeroAndGoodNextToMultiplesOfHalfPi) {
  EXPECT_EQ(SinCosOf(0).sine, 0);
  EXPECT_EQ(SinCosOf(0).cosine, 1);
  for (int n = 1; n < 1018000; n += 97) {
    const double angle = n * 1.5707963267948966;
    ASSERT_NEAR(SinCosOf(angle).sine, std::sin(angle), 5e-16) << n;
    ASSERT_NEAR(SinCosOf(angle).cosine, std::cos(angle), 5e-16) << n;
  }
}

TEST(RopeTableTest, HoldsScaledValuesByPosition) {
  Arena arena;
  ThreadPool pool(1, 0);
  const std::vector<double> inv_freq = {1.0, 0.25};
  const RopeTable table = RopeTable::Create(inv_freq, 2.0, 50, arena, pool).value();
  for (const int64_t position : {0, 1, 49}) {
    for (int i = 0; i < 2; ++i) {
      const double angle = static_cast<double>(position) * inv_freq[i];
      EXPECT_FLOAT_EQ(table.cosine(position)[i], static_cast<float>(2 * std::cos(angle)));
      EXPECT_FLOAT_EQ(table.sine(position)[i], static_cast<float>(2 * std::sin(angle)));
    }
  }
}

// More positions than threads take at once, the last block not whole, and rows that no thread may leave out.
TEST(RopeTableTest, EveryEntryIsTheFormulasWhateverTheThreads) {
  const std::vector<double> inv_freq = {1.0, 0.3, 1e-6};
  constexpr int64_t kPositions = 1001, kHalf = 3;
  for (const int threads : {1, 2, 7}) {
    Arena arena;
    ThreadPool pool(threads, 0);
    const RopeTable table = RopeTable::Create(inv_freq, 1.1, kPositions, arena, pool).value();
    for (int64_t position = 0; position < kPositions; ++position) {
      for (int64_t i = 0; i < kHalf; ++i) {
        const SinCos value = SinCosOf(static_cast<double>(position) * inv_freq[i]);
        ASSERT_EQ(table.cosine(position)[i], static_cast<float>(value.cosine * 1.1)) << threads;
        ASSERT_EQ(table.sine(position)[i], static_cast<float>(value.sine * 1.1)) << threads;
      }
    }
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
