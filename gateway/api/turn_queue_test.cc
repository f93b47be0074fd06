#include "gateway/api/turn_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace quire::gateway {
namespace {

class TurnQueueTest : public testing::Test {
 protected:
  std::optional<TurnQueue::JobId> Push(const std::string& account, const std::string& name) {
    return queue_.TryPush(account, [this, name] { done_.push_back(name); });
  }
  std::vector<std::string> RunAll() {
    queue_.Close();
    while (auto turn = queue_.Pop()) {
      turn->job();
      queue_.Done(turn->account);
    }
    return done_;
  }
  // Begins the next job, which then runs until Done.
  std::string Begin() {
    queue_.Pop()->job();
    return done_.back();
  }

  TurnQueue queue_{{.waiting = 8, .waiting_per_account = 4, .running_per_account = 2}};
  std::vector<std::string> done_;
};

TEST_F(TurnQueueTest, AccountsTakeTurns) {
  for (const char* name : {"a1", "a2", "a3"}) Push("a", name);
  for (const char* name : {"b1", "b2"}) Push("b", name);
  Push("c", "c1");
  EXPECT_EQ(RunAll(), (std::vector<std::string>{"a1", "b1", "c1", "a2", "b2", "a3"}));
}

TEST_F(TurnQueueTest, IsBoundedInAllAndPerAccount) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Push("a", "a"));
  EXPECT_FALSE(Push("a", "a")) << "the account's share";
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Push("b", "b"));
  EXPECT_FALSE(Push("c", "c")) << "all of it";
  EXPECT_EQ(queue_.size(), 8u);
  EXPECT_EQ(RunAll().size(), 8u);
  EXPECT_FALSE(Push("d", "d")) << "closed";
}

TEST_F(TurnQueueTest, AnAccountRunsOnlySoManyAtOnce) {
  for (const char* name : {"a1", "a2", "a3", "a4"}) Push("a", name);
  EXPECT_EQ(Begin(), "a1");
  EXPECT_EQ(Begin(), "a2");
  Push("b", "b1");
  EXPECT_EQ(Begin(), "b1") << "a runs as many as it may";
  queue_.Done("a");
  Push("b", "b2");
  EXPECT_EQ(Begin(), "a3");
  EXPECT_EQ(Begin(), "b2");
  queue_.Done("a");
  queue_.Done("a");
  EXPECT_EQ(Begin(), "a4");
  Push("a", "a5");
  EXPECT_EQ(Begin(), "a5");
}

TEST_F(TurnQueueTest, WhatWaitsForItsAccountsShareMayBeRemovedAndOutlivesClose) {
  for (const char* name : {"a1", "a2"}) Push("a", name);
  Begin();
  Begin();
  const auto only = Push("a", "a3");
  EXPECT_TRUE(queue_.Remove("a", *only));
  Push("a", "a4");
  std::thread end([&] { queue_.Done("a"); });  // what RunAll waits for
  EXPECT_EQ(RunAll(), (std::vector<std::string>{"a1", "a2", "a4"}));
  end.join();
}

TEST_F(TurnQueueTest, WhatIsRemovedIsNotDoneAndFreed) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watch = held;
  Push("a", "a1");
  const auto only = queue_.TryPush("b", [held = std::move(held)] {});
  const auto second = Push("a", "a2");
  Push("a", "a3");
  EXPECT_TRUE(queue_.Remove("b", *only));
  EXPECT_TRUE(watch.expired());
  EXPECT_TRUE(queue_.Remove("a", *second));
  EXPECT_FALSE(queue_.Remove("a", *second));
  EXPECT_FALSE(queue_.Remove("b", *only));
  EXPECT_EQ(RunAll(), (std::vector<std::string>{"a1", "a3"}));
}

}  // namespace
}  // namespace quire::gateway
