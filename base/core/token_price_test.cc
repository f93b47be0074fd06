#include "base/core/token_price.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

constexpr TokenPrice kPrice{.version = 1, .prompt = 75, .cached_prompt = 25, .completion = 150};

TEST(TokenPrice, CostIsExact) {
  EXPECT_EQ(CostNanoUsd(kPrice, {.prompt = 10, .cached = 4, .completion = 3}), 6 * 75 + 4 * 25 + 3 * 150);
  EXPECT_EQ(CostNanoUsd(kPrice, {.prompt = 10, .cached = 99, .completion = 1}), 10 * 25 + 150);
}

TEST(TokenPrice, NothingDeliveredCostsNothing) {
  EXPECT_EQ(CostNanoUsd(kPrice, {.prompt = 10, .cached = 0, .completion = 0}), 0);
}

TEST(TokenPrice, TheHoldCoversEveryCost) {
  for (uint64_t cached = 0; cached <= 10; ++cached) {
    EXPECT_LE(CostNanoUsd(kPrice, {.prompt = 10, .cached = cached, .completion = 7}),
              HoldNanoUsd(kPrice, 10, 7));
  }
  constexpr TokenPrice kDearCache{.version = 1, .prompt = 1, .cached_prompt = 2, .completion = 0};
  EXPECT_EQ(HoldNanoUsd(kDearCache, 10, 7), 20);
}

TEST(TokenPrice, TheLargestRequestDoesNotOverflow) {
  constexpr TokenPrice kDear{1, kMaxPricePerToken, kMaxPricePerToken, kMaxPricePerToken};
  EXPECT_EQ(HoldNanoUsd(kDear, kMaxTokensPerRequest, kMaxTokensPerRequest), 33'554'432'000'000'000);
}

}  // namespace
}  // namespace quire
