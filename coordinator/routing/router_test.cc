#include "coordinator/routing/router_test_fixture.h"

namespace quire::coordinator {
namespace {

TEST_F(RouterTest, EveryPickSeesThePicksBeforeIt) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(router_.Register(Info("b", 1)).ok());
  std::map<std::string, int> picked;
  for (uint8_t n = 1; n <= 10; ++n) ++picked[PlaceNow(Request(n)).placement->group_id()];
  EXPECT_EQ(picked["a"], 5);
  EXPECT_EQ(picked["b"], 5);
  EXPECT_EQ(PlaceNow(Request(11)).refusal.reason(), v1::REFUSAL_NO_CAPACITY);  // 2 x 10 blocks are reserved
}

TEST_F(RouterTest, AReleaseServesTheFirstWaiting) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 2)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  Answer second, third;
  router_.Place(Request(2), second.Sink());
  router_.Place(Request(3), third.Sink());
  EXPECT_FALSE(second.Has());
  router_.Release(Id(1), Served{});
  EXPECT_TRUE(second.Wait().placement.has_value());
  EXPECT_FALSE(third.Has());
  router_.Release(Id(2), Served{});
  EXPECT_TRUE(third.Wait().placement.has_value());
}

TEST_F(RouterTest, AlarmsWhenMoreWasSettledThanTheGroupEmitted) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  Settle(1, {{{"a", 1}, 5}});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Beat("a", 1, true));  // it says that it emitted none
  EXPECT_EQ(router_.Report().conservation_alarms, 1u);
}

TEST_F(RouterTest, EachGroupAnswersForTheTokensThatItMade) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(router_.Register(Info("b", 3)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  const auto beat = [&](const std::string& id, uint64_t epoch, uint64_t emitted) {
    v1::HeartbeatRequest beat;
    beat.set_group_id(id);
    beat.set_epoch(epoch);
    beat.set_healthy(true);
    beat.set_emitted_tokens(emitted);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(router_.Beat(beat));
  };
  // It began on a's first epoch and b's second, which are over: nobody can be held to what those made.
  Settle(1, {{{"a", 1}, 4}, {{"b", 2}, 100}, {{"b", 3}, 6}});
  beat("a", 1, 4);
  beat("b", 3, 6);
  EXPECT_EQ(router_.Report().conservation_alarms, 0u);
  ASSERT_TRUE(PlaceNow(Request(2)).placement.has_value());
  Settle(2, {{{"a", 1}, 1}});
  beat("a", 1, 4);
  EXPECT_EQ(router_.Report().conservation_alarms, 1u);
}

// A commit that failed leaves the request open, and its gateway sends the Settle again.
TEST_F(RouterTest, ASettleThatComesAgainIsChargedOnce) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  v1::HeartbeatRequest beat;
  beat.set_group_id("a");
  beat.set_epoch(1);
  beat.set_healthy(true);
  beat.set_emitted_tokens(5);
  for (int i = 0; i < 3; ++i) {
    router_.Confirm(Id(1), 16, 16);
    router_.Release(Id(1), Served{0, {{{"a", 1}, 5}}});
  }
  for (int i = 0; i < 2; ++i) router_.Release(Id(1), std::nullopt);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(router_.Beat(beat));
  EXPECT_EQ(router_.Report().conservation_alarms, 0u);
  beat.set_emitted_tokens(4);  // it was charged, though
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(router_.Beat(beat));
  EXPECT_EQ(router_.Report().conservation_alarms, 1u);
}

TEST_F(RouterTest, ADrainingGroupGetsNothing) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  v1::HeartbeatRequest beat;
  beat.set_group_id("a");
  beat.set_epoch(1);
  beat.set_healthy(true);
  beat.set_draining(true);
  ASSERT_TRUE(router_.Beat(beat));
  EXPECT_FALSE(PlaceNow(Request(1)).placement.has_value());
  EXPECT_EQ(router_.Report().groups[0].state, GroupState::kDraining);
}

// Nobody registers or beats who would have it forgotten.
TEST_F(RouterTest, TheLastGroupThatLeavesIsListedForAnHour) {
  const absl::StatusOr<uint64_t> registration = router_.Register(Info("a", 1));
  ASSERT_TRUE(registration.ok());
  router_.StreamEnded("a", *registration);
  clock_.AdvanceUs(WorkerRegistry::kForgetGoneUs);
  ASSERT_EQ(router_.Report().groups.size(), 1u);
  EXPECT_EQ(router_.Report().groups[0].state, GroupState::kGone);
  clock_.AdvanceUs(1);
  EXPECT_TRUE(router_.Report().groups.empty());
}

TEST_F(RouterTest, WaitsForAGroupToRegister) {
  Answer answer;
  router_.Place(Request(1), answer.Sink());
  EXPECT_EQ(Waiting(), 1u);
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  EXPECT_EQ(answer.Wait().placement->group_id(), "a");
}

TEST_F(RouterTest, AnUnhealthySilentOrGoneGroupGetsNothing) {
  const uint64_t registration = *router_.Register(Info("a", 1));
  ASSERT_TRUE(Beat("a", 1, false));
  EXPECT_FALSE(PlaceNow(Request(1)).placement.has_value());
  ASSERT_TRUE(Beat("a", 1, true));
  EXPECT_TRUE(PlaceNow(Request(1)).placement.has_value());
  clock_.AdvanceMs(751);
  EXPECT_FALSE(PlaceNow(Request(2)).placement.has_value());
  ASSERT_TRUE(Beat("a", 1, true));
  router_.StreamEnded("a", registration);
  const Route refused = PlaceNow(Request(2));
  EXPECT_EQ(refused.refusal.reason(), v1::REFUSAL_NO_CAPACITY);
  EXPECT_GE(refused.refusal.retry_after_s(), 1u);
}

TEST_F(RouterTest, RefusesWhatFitsNoGroupEvenAlone) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 10)).ok());
  RouteRequest request = Request(1);
  request.most_tokens = 161;
  EXPECT_EQ(PlaceNow(request).refusal.reason(), v1::REFUSAL_TOO_LARGE);
  request.most_tokens = 160;
  EXPECT_TRUE(PlaceNow(request).placement.has_value());
}

TEST_F(RouterTest, AResentRequestGetsItsPlacementAgainAndIsCountedOnce) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(router_.Register(Info("b", 1)).ok());
  const std::string first = PlaceNow(Request(1)).placement->group_id();
  EXPECT_EQ(PlaceNow(Request(1)).placement->group_id(), first);
  EXPECT_EQ(router_.Report().open_requests, 1u);
}

TEST_F(RouterTest, ReadmitAvoidsTheFailedEpochButNotItsSuccessor) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  EXPECT_FALSE(PlaceNow(again).placement.has_value());
  ASSERT_TRUE(router_.Register(Info("a", 2)).ok());
  EXPECT_EQ(PlaceNow(again).placement->group_epoch(), 2u);
  EXPECT_EQ(router_.Report().groups[0].reserved.requests, 1u);
}

TEST_F(RouterTest, AFailedGroupThatStillServesIsBetterThanNone) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  Answer answer, newcomer;
  router_.Place(again, answer.Sink());
  ASSERT_TRUE(Beat("a", 1, true));
  EXPECT_FALSE(answer.Has());
  router_.Place(Request(2), newcomer.Sink());  // is not held up by it
  ASSERT_TRUE(Beat("a", 1, true));
  EXPECT_TRUE(newcomer.Has());
  clock_.AdvanceMs(2'001);
  ASSERT_TRUE(Beat("a", 1, true));
  EXPECT_EQ(answer.Wait().placement->group_epoch(), 1u);
}

TEST_F(RouterTest, AReadmitIsNotHeldUpByItsOwnReservation) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 2)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());  // both blocks
  RouteRequest again = Request(1, 20, 12);                  // busy, not failed: the same group may have it
  again.running = true;
  EXPECT_TRUE(PlaceNow(again).placement.has_value());
  EXPECT_EQ(router_.Report().groups[0].reserved.blocks, 2u);
}

TEST_F(RouterTest, AReadmitReservesWhatIsLeftToGenerate) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 3)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  ASSERT_TRUE(router_.Register(Info("a", 2, 3)).ok());
  RouteRequest again = Request(1, 40, 16);
  again.most_tokens = 48;  // as it said when it came
  again.running = true;
  EXPECT_FALSE(PlaceNow(again).placement.has_value());  // 56 tokens
  again.positions = 8;
  EXPECT_TRUE(PlaceNow(again).placement.has_value());
  EXPECT_EQ(router_.Report().groups[0].reserved.blocks, 3u);
}

TEST_F(RouterTest, AReadmitOfAClosedRequestIsRefusedAlsoWhileItWaits) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  RouteRequest again = Request(1);
  again.running = true;
  EXPECT_EQ(PlaceNow(again).refusal.reason(), v1::REFUSAL_CLOSED);
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  again.failed = {"a", 1};
  Answer answer;
  router_.Place(again, answer.Sink());
  EXPECT_EQ(Waiting(), 1u);
  router_.Release(Id(1), std::nullopt);
  EXPECT_EQ(answer.Wait().refusal.reason(), v1::REFUSAL_CLOSED);
  EXPECT_EQ(Waiting(), 0u);
  EXPECT_EQ(router_.Report().open_requests, 0u);
}

// A coordinator was restarted: the request's Admit was sent again and waits, and then the group breaks that
// runs it since before. The Readmit must not cost the request its Admit, which nobody would answer.
TEST_F(RouterTest, AReadmitLeavesTheWaitingAdmitOfItsRequest) {
  Answer admit, readmit;
  router_.Place(Request(1), admit.Sink());
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  router_.Place(again, readmit.Sink());
  EXPECT_EQ(readmit.Wait().refusal.reason(), v1::REFUSAL_CLOSED);
  EXPECT_EQ(Waiting(), 1u);
  ASSERT_TRUE(router_.Register(Info("a", 2)).ok());
  EXPECT_EQ(admit.Wait().placement->group_epoch(), 2u);
}

// The same where only the connection broke: the first Admit's place is known, and its group gone.
TEST_F(RouterTest, AReadmitLeavesTheWaitingAdmitOfAPlacedRequestToo) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  router_.Fence("a", 2);
  Answer admit, readmit;
  router_.Place(Request(1), admit.Sink());
  EXPECT_EQ(Waiting(), 1u);
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  router_.Place(again, readmit.Sink());
  EXPECT_EQ(readmit.Wait().refusal.reason(), v1::REFUSAL_CLOSED);
  ASSERT_TRUE(router_.Register(Info("a", 2)).ok());
  EXPECT_EQ(admit.Wait().placement->group_epoch(), 2u);
  EXPECT_EQ(router_.Report().open_requests, 1u);
}

// And the other way round: an Admit that comes while a Readmit of the same request waits.
TEST_F(RouterTest, AnAdmitAnswersTheWaitingReadmitOfItsRequest) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  router_.Fence("a", 2);
  RouteRequest again = Request(1);
  again.running = true;
  again.failed = {"a", 1};
  Answer readmit, admit;
  router_.Place(again, readmit.Sink());
  router_.Place(Request(1), admit.Sink());
  EXPECT_EQ(readmit.Wait().refusal.reason(), v1::REFUSAL_NO_CAPACITY) << "to be sent again";
  EXPECT_EQ(readmit.count(), 1);
  ASSERT_TRUE(router_.Register(Info("a", 2)).ok());
  EXPECT_EQ(admit.Wait().placement->group_epoch(), 2u);
}

TEST_F(RouterTest, AReloadedRequestCountsAgainstTheGroupThatProgressNames) {
  router_.Confirm(Id(1), 100, 28);
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  EXPECT_EQ(router_.Report().groups[0].reserved.blocks, 0u);
  router_.Heard(Id(1), {"a", 1});
  EXPECT_EQ(router_.Report().groups[0].reserved.blocks, 8u);
  EXPECT_FALSE(PlaceNow(Request(2, 48, 0)).placement.has_value());
  router_.Release(Id(1), Served{});
  EXPECT_TRUE(PlaceNow(Request(2, 48, 0)).placement.has_value());
}

TEST_F(RouterTest, AGrantReservesMore) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  ASSERT_TRUE(PlaceNow(Request(1)).placement.has_value());
  router_.Confirm(Id(1), 100, 64);
  EXPECT_EQ(router_.Report().groups[0].reserved.blocks, 5u);
}

TEST_F(RouterTest, PrefersTheGroupThatHasThePrefixUntilItProvesWrong) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 1000)).ok());
  ASSERT_TRUE(router_.Register(Info("b", 1, 1000)).ok());
  RouteRequest request = Request(1, 64, 16);
  request.prefix_hashes = {"1", "2", "3", "4"};
  EXPECT_EQ(PlaceNow(request).placement->group_id(), "a");
  request.id = Id(2);
  EXPECT_EQ(PlaceNow(request).placement->group_id(), "a");  // b is less loaded, a has the prefix
  for (uint8_t n = 3; n < 60; ++n) {                        // but nothing is ever found there
    request.id = Id(n);
    PlaceNow(request);
    router_.Release(Id(n), Served{});
  }
  request.id = Id(60);
  EXPECT_EQ(PlaceNow(request).placement->group_id(), "b");
}

TEST_F(RouterTest, ACancelledWaitIsNotAnswered) {
  Answer answer;
  const uint64_t ticket = router_.Place(Request(1), answer.Sink());
  router_.Cancel(Id(1), ticket + 1);  // somebody else's
  EXPECT_EQ(Waiting(), 1u);
  router_.Cancel(Id(1), ticket);
  EXPECT_EQ(Waiting(), 0u);
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  EXPECT_FALSE(answer.Has());
}

TEST_F(RouterTest, AFencedGroupIsGoneAtOnce) {
  ASSERT_TRUE(router_.Register(Info("a", 1)).ok());
  router_.Fence("a", 2);
  EXPECT_FALSE(PlaceNow(Request(1)).placement.has_value());
  EXPECT_FALSE(Beat("a", 1, true));
}

TEST_F(RouterTest, AlarmsWhenAGroupUsesMuchMoreThanIsReserved) {
  ASSERT_TRUE(router_.Register(Info("a", 1, 100)).ok());
  v1::HeartbeatRequest beat;
  beat.set_group_id("a");
  beat.set_epoch(1);
  beat.set_healthy(true);
  beat.set_kv_blocks_total(100);
  beat.set_kv_blocks_free(60);
  for (int i = 0; i < 7; ++i) router_.Beat(beat);
  EXPECT_EQ(router_.Report().drift_alarms, 0u);
  for (int i = 0; i < 7; ++i) router_.Beat(beat);
  EXPECT_EQ(router_.Report().drift_alarms, 1u);
}

TEST(Router, TheQueueIsBoundedInTime) {
  const SystemClock clock;
  Answer answer;
  Router router({{}, 1'000, 1'000}, clock);
  router.Place(Request(1), answer.Sink());
  EXPECT_EQ(answer.Wait().refusal.reason(), v1::REFUSAL_NO_CAPACITY);
  EXPECT_EQ(answer.count(), 1);
}

TEST(Router, AnswersTheWaitingWhenItEnds) {
  const SystemClock clock;
  Answer answer;
  {
    Router router({{}, 60'000'000, 60'000'000}, clock);
    router.Place(Request(1), answer.Sink());
  }
  EXPECT_TRUE(answer.Wait().ending);
}

TEST(Router, IsBoundedInLength) {
  const SystemClock clock;
  Answer first, second, third, fourth;
  Router router({{2, 1}, 60'000'000, 60'000'000}, clock);  // ends first, and answers those that still wait
  RouteRequest other = Request(3);
  other.account = "other";
  router.Place(Request(1), first.Sink());
  router.Place(Request(2), second.Sink());
  EXPECT_EQ(second.Wait().refusal.reason(), v1::REFUSAL_RATE);
  router.Place(other, third.Sink());
  RouteRequest more = Request(4);
  more.account = "third";
  router.Place(more, fourth.Sink());
  EXPECT_EQ(fourth.Wait().refusal.reason(), v1::REFUSAL_QUEUE_FULL);
  EXPECT_FALSE(first.Has());
}

}  // namespace
}  // namespace quire::coordinator
