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
    if (!accept(waiting)) return false;
    served.push_back(waiting.id.bytes[0]);
    return true;
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
  EXPECT_TRUE(queue.HasWaiting("big"));
  EXPECT_FALSE(queue.HasWaiting("small"));
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

TEST(WaitQueue, ARunningRequestGoesFirst) {
  WaitQueue queue({1, 1});
  queue.Push(Request(1));
  queue.PushFront(Request(2));
  EXPECT_EQ(ServeAll(queue, [](const auto&) { return true; }), (std::vector<int>{2, 1}));
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
    queue.Serve(second * 1'000'000, [&](const auto&) { return !std::exchange(placed, true); });
  }
  EXPECT_EQ(queue.size(), 100u);
  EXPECT_EQ(queue.RetryAfterSeconds(), 60u);
  for (uint8_t n = 100; n < 195; ++n) queue.Remove(Id(n));
  EXPECT_NEAR(queue.RetryAfterSeconds(), 5, 1);
}

}  // namespace
}  // namespace quire::coordinator
