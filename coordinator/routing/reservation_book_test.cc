#include "coordinator/routing/reservation_book.h"

#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

const GroupEpoch kA{"a", 1}, kB{"b", 1};

RequestId Id(uint8_t n) {
  RequestId id;
  id.bytes[0] = n;
  return id;
}

TEST(ReservationBook, CountsPromptPlusGrantPerGroupEpoch) {
  ReservationBook book;
  book.Put(Id(1), {kA, 10, 22, 0}, 0);
  book.Put(Id(2), {kA, 16, 0, 0}, 0);
  book.Put(Id(3), {kB, 100, 0, 0}, 0);
  EXPECT_EQ(book.UseOf(kA).blocks, 3u);
  EXPECT_EQ(book.UseOf(kA).requests, 2u);
  EXPECT_EQ(book.UseOf({"a", 2}).blocks, 0u);  // a new epoch has empty memory
  EXPECT_TRUE(book.Remove(Id(1)).has_value());
  EXPECT_FALSE(book.Remove(Id(1)).has_value());
  EXPECT_EQ(book.UseOf(kA).blocks, 1u);
}

TEST(ReservationBook, AGrantGrowsAndAMoveIsCountedOnce) {
  ReservationBook book;
  book.Put(Id(1), {kA, 16, 16, 0}, 0);
  book.Confirm(Id(1), 16, 64, 1);
  EXPECT_EQ(book.UseOf(kA).blocks, 5u);
  book.Refresh(Id(1), kB, 2);
  EXPECT_EQ(book.UseOf(kA).requests, 0u);
  EXPECT_EQ(book.UseOf(kB).blocks, 5u);
  book.Refresh(Id(9), kB, 2);  // nobody's
  EXPECT_EQ(book.size(), 1u);
}

TEST(ReservationBook, TheSilentStopCountingAndCountAgainWhenHeard) {
  ReservationBook book;
  book.Put(Id(1), {kA, 16, 16, 0}, 0);
  book.Sweep(ReservationBook::kSilenceUs);
  EXPECT_EQ(book.UseOf(kA).blocks, 2u);
  book.Sweep(ReservationBook::kSilenceUs + 1);
  EXPECT_EQ(book.UseOf(kA).blocks, 0u);
  EXPECT_NE(book.Find(Id(1)), nullptr);
  book.Refresh(Id(1), {}, ReservationBook::kSilenceUs + 2);
  EXPECT_EQ(book.UseOf(kA).blocks, 2u);
}

TEST(ReservationBook, AReloadedRequestCountsOnceItsGroupIsSaid) {
  ReservationBook book;
  book.Put(Id(1), {{}, 16, 16, 0}, 0);
  EXPECT_EQ(book.UseOf(kA).blocks, 0u);
  book.Refresh(Id(1), kA, 1);
  EXPECT_EQ(book.UseOf(kA).blocks, 2u);
}

}  // namespace
}  // namespace quire::coordinator
