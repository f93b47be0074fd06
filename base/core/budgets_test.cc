#include "base/core/budgets.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

constexpr int64_t kSecond = 1'000'000;

TEST(BudgetsTest, ABurstAndThenOneEverySoOften) {
  Budgets budgets({.burst = 3, .every_us = kSecond});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(budgets.Take("a", 0), 0u);
  EXPECT_EQ(budgets.Take("a", 0), std::nullopt);
  EXPECT_EQ(budgets.Take("a", kSecond - 1), std::nullopt);
  EXPECT_EQ(budgets.Take("b", 0), 0u);
  EXPECT_EQ(budgets.Take("a", kSecond), 2u);  // and says how many were refused
  EXPECT_EQ(budgets.Take("a", kSecond), std::nullopt);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budgets.Take("a", 100 * kSecond).has_value());
  EXPECT_EQ(budgets.Take("a", 100 * kSecond), std::nullopt);  // the burst does not grow with rest
}

TEST(BudgetsTest, WhatWasOverspentIsPaidBack) {
  Budgets budgets({.burst = 2, .every_us = kSecond});
  EXPECT_FALSE(budgets.Spent("a", 0));
  for (int i = 0; i < 5; ++i) budgets.Spend("a", 0);
  EXPECT_TRUE(budgets.Spent("a", 4 * kSecond - 1));
  EXPECT_FALSE(budgets.Spent("a", 4 * kSecond));
}

}  // namespace
}  // namespace quire
