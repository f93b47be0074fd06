#include "gateway/generation/retry_pauses.h"

#include <gtest/gtest.h>

namespace quire::gateway {
namespace {

TEST(RetryPauses, DoubleUpToALimitAndStartAnewAfterSuccess) {
  RetryPauses pauses;
  EXPECT_TRUE(pauses.Due("a", 0));
  EXPECT_EQ(pauses.Failed("a", 0), 1000);
  EXPECT_FALSE(pauses.Due("a", 999));
  EXPECT_TRUE(pauses.Due("a", 1000));
  EXPECT_TRUE(pauses.Due("b", 0)) << "another digest is tried at once";
  EXPECT_EQ(pauses.Failed("a", 1000), 2000);
  EXPECT_EQ(pauses.Failed("b", 1500), 1000);
  EXPECT_EQ(pauses.NextMs(), 2500);
  pauses.Trying("b");
  pauses.Trying("c");
  EXPECT_FALSE(pauses.Due("b", 2500)) << "it is tried once at a time";
  EXPECT_TRUE(pauses.Has("b"));
  EXPECT_FALSE(pauses.Has("c"));
  EXPECT_EQ(pauses.NextMs(), 3000);
  EXPECT_EQ(pauses.Failed("b", 2600), 2000);
  for (int i = 0; i < 20; ++i) pauses.Failed("a", 0);
  EXPECT_EQ(pauses.Failed("a", 0), RetryPauses::kMostMs);
  pauses.Forget("a");
  EXPECT_EQ(pauses.Failed("a", 0), 1000);
  pauses.KeepOnly({"b"});
  EXPECT_FALSE(pauses.Has("a"));
  EXPECT_TRUE(pauses.Has("b"));
}

TEST(RetryPauses, WhatFailedForGoodIsNeverDue) {
  RetryPauses pauses;
  pauses.FailedForGood("a");
  EXPECT_TRUE(pauses.Has("a"));
  EXPECT_FALSE(pauses.Due("a", RetryPauses::kMostMs * 1000));
  EXPECT_EQ(pauses.NextMs(), RetryPauses::kNever);
  pauses.Failed("b", 0);
  EXPECT_EQ(pauses.NextMs(), RetryPauses::kFirstMs);
  pauses.KeepOnly({});
  EXPECT_TRUE(pauses.Due("a", 0));
}

}  // namespace
}  // namespace quire::gateway
