// A host that slept, or a process that was held: what the router is patient with has its time afterwards.
#include "coordinator/routing/router_test_fixture.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kHourMs = 3'600'000;

class RouterSleepTest : public RouterTest {
 protected:
  // Waits until the router's thread has looked at the time as it is now.
  void AwaitTimer() {
    RouteRequest request = Request(9);
    request.max_wait_us = 1;
    Answer looked;
    router_.Place(request, looked.Sink());
    clock_.AdvanceUs(1);
    EXPECT_FALSE(looked.Wait().placement.has_value());
  }
};

TEST_F(RouterSleepTest, WhoWaitsForAGroupWaitsOn) {
  Answer waiting;
  router_.Place(Request(1), waiting.Sink());
  clock_.AdvanceMs(kHourMs);
  AwaitTimer();
  EXPECT_FALSE(waiting.Has());
  EXPECT_LE(router_.Report().oldest_wait_us, 3 * AwakeTime::kRoundUs);
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  EXPECT_EQ(waiting.Wait().placement->group_id(), "a");
}

// A stream that looks for another group: its gateway slept as well.
TEST_F(RouterSleepTest, AReadmitWaitsOn) {
  const uint64_t registration = *router_.Register(Info("a", 1));
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  router_.StreamEnded("a", registration);
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  Answer waiting;
  router_.Place(again, waiting.Sink());
  clock_.AdvanceMs(kHourMs);
  AwaitTimer();
  EXPECT_FALSE(waiting.Has());
  ASSERT_TRUE(router_.Register(Info("a", 2)).ok());
  EXPECT_EQ(waiting.Wait().placement->group_epoch(), 2u);
}

TEST_F(RouterSleepTest, PatienceEndsAllTheSame) {
  Answer waiting;
  router_.Place(Request(1), waiting.Sink());
  for (int64_t round = 0; round < 60; ++round) {
    clock_.AdvanceUs(AwakeTime::kRoundUs);
    router_.Report();  // a look
  }
  EXPECT_EQ(waiting.Wait().refusal.reason(), v1::REFUSAL_NO_CAPACITY);
}

// On waking the groups beat before the gateways say what runs there: nobody is placed on blocks that are in
// use.
TEST_F(RouterSleepTest, ReservationsCountOn) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 2)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());  // both blocks
  clock_.AdvanceMs(kHourMs);
  ASSERT_TRUE(Beat("a", 1, true));
  EXPECT_FALSE(PlaceNow(Request(2)).placement.has_value());
  for (int64_t us = 0; us <= ReservationBook::kSilenceUs; us += AwakeTime::kRoundUs) {
    clock_.AdvanceUs(AwakeTime::kRoundUs);
    ASSERT_TRUE(Beat("a", 1, true));
  }
  EXPECT_TRUE(PlaceNow(Request(2)).placement.has_value()) << "its gateway is gone";
}

}  // namespace
}  // namespace quire::coordinator
