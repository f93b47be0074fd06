#include "coordinator/fleet/restart_backoff.h"

#include <gtest/gtest.h>

#include <vector>

namespace quire::coordinator {
namespace {

TEST(RestartBackoff, FirstIsFastThenDoublesToAMinute) {
  RestartBackoff backoff{RestartBackoff::Limits{}};
  std::vector<int64_t> delays;
  for (int i = 0; i < 9; ++i) {
    backoff.CountRun(500);
    delays.push_back(backoff.TakeDelay());
  }
  EXPECT_EQ(delays, (std::vector<int64_t>{100, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}));
}

TEST(RestartBackoff, AHealthyMinuteStartsTheSeriesAnew) {
  RestartBackoff backoff{RestartBackoff::Limits{}};
  for (int i = 0; i < 5; ++i) backoff.TakeDelay();
  backoff.CountRun(60'000);
  EXPECT_EQ(backoff.TakeDelay(), 100);
  backoff.CountRun(500);
  EXPECT_EQ(backoff.TakeDelay(), 1000);
}

TEST(RestartBackoff, WhatARestartCantHelpWaitsLongestUntilARunIsHealthy) {
  RestartBackoff backoff{RestartBackoff::Limits{}};
  backoff.ExpectNoHelp();
  EXPECT_EQ(backoff.TakeDelay(), 60'000);
  EXPECT_EQ(backoff.TakeDelay(), 60'000);
  backoff.CountRun(60'000);
  EXPECT_EQ(backoff.TakeDelay(), 100);
}

}  // namespace
}  // namespace quire::coordinator
