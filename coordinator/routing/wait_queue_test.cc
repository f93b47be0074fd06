#include "coordinator/routing/wait_queue.h"

#include <gtest/gtest.h>

namespace quire::coordinator {
namespace {

RequestId Id(uint8_t n) {
  RequestId id;
  id.bytes[0] = n;
  return id;
}

WaitQueue::Waiting Request(uint8_t n, const std::string& model = "m", const std::string& account = "acc",
                           int64_t deadline_us = 1'000'000) {
  return {Id(n), account, model, 0, deadline_us};
}

std::vector<int> ServeAll(WaitQueue& queue, auto accept) {
  std::vector<int> served;
  queue.Serve(0, [&](const WaitQueue::Waiting& waiting) {
    if (!accept(waiting)) return WaitQueue::Offer::kNoRoom;
    served.push_back(waiting.id.bytes[0]);
    return WaitQueue::Offer::kTaken;
  });
  return served;
}

TEST(WaitQueue, IsFirstInFirstOutPerModel) {
  WaitQueue queue({});
  queue.Push(Request(1, "big"));
  queue.Push(Request(2, "big"));
  queue.Push(Request(3, "small"));
  // The first "big" does not fit: the second must not overtake it, the other model may.
  EXPECT_EQ(ServeAll(queue, [](const auto& w) { return w.id != Id(1); }), (std::vector<int>{3}));
  EXPECT_TRUE(queue.HasWaiting("big", false));
  EXPECT_FALSE(queue.HasWaiting("big", true));
  EXPECT_FALSE(queue.HasWaiting("small", false));
  EXPECT_EQ(ServeAll(queue, [](const auto&) { return true; }), (std::vector<int>{1, 2}));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(WaitQueue, IsBoundedAsAWholeAndPerAccount) {
  WaitQueue queue({3, 2});
  EXPECT_EQ(queue.Push(Request(1, "m", "a")), WaitQueue::Verdict::kQueued);
  EXPECT_EQ(queue.Push(Request(2, "m", "a")), WaitQueue::Verdict::kQueued);
  EXPECT_EQ(queue.Push(Request(3, "m", "a")), WaitQueue::Verdict::kAccountFull);
  EXPECT_EQ(queue.Push(Request(4, "m", "b")), WaitQueue::Verdict::kQueued);
  EXPECT_EQ(queue.Push(Request(5, "m", "c")), WaitQueue::Verdict::kFull);
  EXPECT_TRUE(queue.Remove(Id(1)));
  EXPECT_FALSE(queue.Remove(Id(1)));
  EXPECT_EQ(queue.Push(Request(6, "m", "a")), WaitQueue::Verdict::kQueued);
}

WaitQueue::Waiting Running(uint8_t n, const std::string& account) {
  WaitQueue::Waiting waiting = Request(n, "m", account);
  waiting.running = true;
  return waiting;
}

TEST(WaitQueue, RunningRequestsGoFirstInTurnAmongAccounts) {
  WaitQueue queue({1, 1, 8});
  queue.Push(Request(1));
  for (uint8_t n : {2, 3, 4}) queue.Push(Running(n, "a"));  // a lost three streams, b and c one each
  queue.Push(Running(5, "b"));
  queue.Push(Running(6, "c"));
  queue.Push(Running(7, "a"));
  EXPECT_TRUE(queue.HasWaiting("m", true));
  int places = 3;
  EXPECT_EQ(ServeAll(queue, [&](const auto&) { return places-- > 0; }), (std::vector<int>{2, 5, 6}));
  queue.Push(Running(8, "d"));  // comes with the round that is being served
  EXPECT_EQ(ServeAll(queue, [](const auto&) { return true; }), (std::vector<int>{3, 8, 4, 7, 1}));
  EXPECT_FALSE(queue.HasWaiting("m", true));
}

TEST(WaitQueue, RunningRequestsHaveABoundOfTheirOwn) {
  WaitQueue queue({1, 1, 2});
  EXPECT_EQ(queue.Push(Running(1, "a")), WaitQueue::Verdict::kQueued);
  EXPECT_EQ(queue.Push(Running(2, "a")), WaitQueue::Verdict::kQueued);
  EXPECT_EQ(queue.Push(Running(3, "a")), WaitQueue::Verdict::kFull);
  EXPECT_EQ(queue.Push(Request(4, "m", "a")), WaitQueue::Verdict::kQueued);
  EXPECT_TRUE(queue.Remove(Id(1)));
  EXPECT_EQ(queue.Push(Running(3, "a")), WaitQueue::Verdict::kQueued);
}

TEST(WaitQueue, WhoWaitsAloneHoldsNobodyUp) {
  WaitQueue queue({});
  queue.Push(Running(1, "a"));
  queue.Push(Request(2));
  std::vector<int> served;
  queue.Serve(0, [&](const WaitQueue::Waiting& waiting) {
    if (waiting.running) return WaitQueue::Offer::kWaitsAlone;
    served.push_back(waiting.id.bytes[0]);
    return WaitQueue::Offer::kTaken;
  });
  EXPECT_EQ(served, (std::vector<int>{2}));
}

TEST(WaitQueue, GivesUpAtTheDeadline) {
  WaitQueue queue({});
  queue.Push(Request(1, "m", "a", 500));
  queue.Push(Request(2, "m", "a", 100));
  EXPECT_EQ(queue.NextDeadlineUs(), 100);
  EXPECT_TRUE(queue.TakeExpired(99).empty());
  const auto expired = queue.TakeExpired(100);
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].id, Id(2));
  EXPECT_EQ(queue.NextDeadlineUs(), 500);
}

TEST(WaitQueue, RetryAfterFollowsTheDrainRate) {
  WaitQueue queue({1000, 1000});
  EXPECT_EQ(queue.RetryAfterSeconds(), 1u);
  for (uint8_t n = 0; n < 200; ++n) queue.Push(Request(n));
  for (int second = 1; second <= 100; ++second) {  // one place a second
    bool placed = false;
    queue.Serve(second * 1'000'000, [&](const auto&) {
      return std::exchange(placed, true) ? WaitQueue::Offer::kNoRoom : WaitQueue::Offer::kTaken;
    });
  }
  EXPECT_EQ(queue.size(), 100u);
  EXPECT_EQ(queue.RetryAfterSeconds(), 60u);
  for (uint8_t n = 100; n < 195; ++n) queue.Remove(Id(n));
  EXPECT_NEAR(queue.RetryAfterSeconds(), 5, 1);
}

TEST(WaitQueue, WhoIsRefusedSaysNothingOfTheDrain) {
  WaitQueue queue({});
  for (uint8_t n = 0; n < 12; ++n) queue.Push(Request(n));
  bool placed = false;
  const auto place_one = [&](const auto&) {
    return std::exchange(placed, true) ? WaitQueue::Offer::kNoRoom : WaitQueue::Offer::kTaken;
  };
  queue.Serve(4'000'000, place_one);
  EXPECT_EQ(queue.RetryAfterSeconds(), 44u);
  int offered = 0;
  queue.Serve(4'000'000, [&](const auto&) {
    return ++offered <= 10 ? WaitQueue::Offer::kRefused : WaitQueue::Offer::kNoRoom;
  });
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.RetryAfterSeconds(), 4u);
}

}  // namespace
}  // namespace quire::coordinator
