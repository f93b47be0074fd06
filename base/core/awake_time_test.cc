#include "base/core/awake_time.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;

TEST(AwakeTime, IsTimeForWhoeverLooksOften) {
  ManualClock clock;
  clock.AdvanceUs(kHourUs);
  AwakeTime awake(clock);
  EXPECT_EQ(awake.NowUs(), 0);
  for (int round = 0; round < 100; ++round) {
    clock.AdvanceUs(AwakeTime::kRoundUs);
    awake.NowUs();
  }
  EXPECT_EQ(awake.NowUs(), 100 * AwakeTime::kRoundUs);
}

// As it wakes it looks at once, and again and again.
TEST(AwakeTime, ASleepHardlyCounts) {
  ManualClock clock;
  AwakeTime awake(clock);
  clock.AdvanceUs(kHourUs);
  EXPECT_EQ(awake.NowUs(), 2 * AwakeTime::kRoundUs);
  clock.AdvanceUs(5);
  EXPECT_EQ(awake.NowUs(), 2 * AwakeTime::kRoundUs + 5);
}

}  // namespace
}  // namespace quire
