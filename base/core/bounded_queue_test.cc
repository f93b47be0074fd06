#include "base/core/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace quire {
namespace {

TEST(BoundedQueue, RefusesWhenFullAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), 2);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueue, PopWaitsForAnotherThread) {
  BoundedQueue<int> queue(1);
  std::thread producer([&] { queue.TryPush(7); });
  EXPECT_EQ(queue.Pop(), 7);
  producer.join();
}

}  // namespace
}  // namespace quire
