#include "gateway/generation/attempts.h"

#include <gtest/gtest.h>

#include <set>

namespace quire::gateway {
namespace {

constexpr int64_t kSecond = 1'000'000;

TEST(Attempts, TheThirdFailureIsTheLast) {
  Attempts attempts(60 * kSecond, 1);
  EXPECT_TRUE(attempts.Failed(0));
  attempts.Accepted();  // forgives nothing: each failure may be the request's own fault
  EXPECT_TRUE(attempts.Failed(1));
  attempts.Accepted();
  EXPECT_FALSE(attempts.Failed(2));
}

TEST(Attempts, BackoffGrowsToItsCapAndIsSpread) {
  std::set<int64_t> firsts;
  for (uint64_t random = 0; random < 20; ++random) {
    Attempts attempts(60 * kSecond, random);
    int64_t whole_us = Attempts::kFirstBackoffUs;
    for (int i = 0; i < 50; ++i) {
      const int64_t wait_us = attempts.Backoff(0);
      EXPECT_GE(wait_us, whole_us / 2);
      EXPECT_LE(wait_us, whole_us);
      if (i == 0) firsts.insert(wait_us);
      whole_us = std::min(2 * whole_us, Attempts::kLastBackoffUs);
    }
  }
  EXPECT_GT(firsts.size(), 10u);
}

TEST(Attempts, PatienceCountsFromTheLossOfTheGroup) {
  Attempts attempts(60 * kSecond, 1);
  EXPECT_EQ(attempts.TimeLeftUs(1000 * kSecond), 60 * kSecond);
  attempts.Backoff(1000 * kSecond);
  attempts.Backoff(1020 * kSecond);
  EXPECT_EQ(attempts.TimeLeftUs(1030 * kSecond), 30 * kSecond);
  EXPECT_EQ(attempts.TimeLeftUs(1100 * kSecond), 0);
  attempts.Accepted();
  EXPECT_EQ(attempts.TimeLeftUs(1100 * kSecond), 60 * kSecond);
  EXPECT_LT(attempts.Backoff(1100 * kSecond), Attempts::kFirstBackoffUs + 1);
}

}  // namespace
}  // namespace quire::gateway
