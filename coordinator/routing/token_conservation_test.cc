#include "coordinator/routing/token_conservation.h"

#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

const GroupEpoch kGroup{"g", 1};

TEST(TokenConservationTest, AlarmsOnceWhenMoreWasDeliveredThanEmitted) {
  TokenConservation books;
  books.Delivered(kGroup, 10);
  EXPECT_TRUE(books.Beat(kGroup, 10));
  EXPECT_TRUE(books.Beat(kGroup, 10));
  books.Delivered(kGroup, 1);
  EXPECT_TRUE(books.Beat(kGroup, 10));   // the group may have counted before it emitted that one
  EXPECT_FALSE(books.Beat(kGroup, 10));  // by now it should have
  EXPECT_TRUE(books.Beat(kGroup, 10));   // said already
}

TEST(TokenConservationTest, EveryEpochStartsAnew) {
  TokenConservation books;
  books.Delivered(kGroup, 10);
  EXPECT_TRUE(books.Beat({"g", 2}, 0));
  EXPECT_TRUE(books.Beat({"g", 2}, 0));
  books.Forget(kGroup);
  EXPECT_TRUE(books.Beat(kGroup, 0));
  EXPECT_TRUE(books.Beat(kGroup, 0));
}

}  // namespace
}  // namespace quire::coordinator
