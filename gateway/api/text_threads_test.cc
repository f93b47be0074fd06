#include "gateway/api/text_threads.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "base/core/mutex.h"

namespace quire::gateway {
namespace {

constexpr size_t kSmall = 100, kLarge = 1 << 20;

using Answer = ApiResult<int>;

class TextThreadsTest : public testing::Test {
 protected:
  template <typename Work>
  boost::asio::awaitable<void> Ask(size_t bytes, Work work) {
    answer_ = co_await threads_.Run(bytes, owner_, std::move(work));
    answered_on_ = std::this_thread::get_id();
  }

  template <typename Work>
  void Spawn(size_t bytes, Work work) {
    boost::asio::co_spawn(io_, Ask(bytes, std::move(work)), boost::asio::detached);
  }
  template <typename Condition>
  void RunUntil(Condition condition) {
    io_.restart();
    auto work = boost::asio::make_work_guard(io_);
    while (!condition()) io_.run_one();
  }
  void RunUntilAnswered() {
    RunUntil([this] { return answer_.has_value(); });
  }
  int StatusOfAnswer() const { return std::get<http::ApiError>(*answer_).status; }

  boost::asio::io_context io_{1};
  const std::shared_ptr<JobOwner> owner_ = std::make_shared<JobOwner>("account");
  TextThreads threads_{1};
  std::optional<Answer> answer_;
  std::thread::id answered_on_;
};

TEST_F(TextThreadsTest, ASmallRequestStaysOnItsThread) {
  std::thread::id worked_on;
  Spawn(kSmall, [&]() -> Answer { return worked_on = std::this_thread::get_id(), 7; });
  io_.run();
  EXPECT_EQ(std::get<int>(*answer_), 7);
  EXPECT_EQ(worked_on, std::this_thread::get_id());
}

TEST_F(TextThreadsTest, ALargeRequestLeavesItsThreadToOthers) {
  Notification other_ran;
  Spawn(kLarge, [&]() -> Answer { return other_ran.WaitForNotification(), 7; });
  boost::asio::post(io_, [&] { other_ran.Notify(); });
  RunUntilAnswered();
  EXPECT_EQ(std::get<int>(*answer_), 7);
  EXPECT_EQ(answered_on_, std::this_thread::get_id());
}

TEST_F(TextThreadsTest, OnceStoppedItRefusesLargeRequestsOnly) {
  threads_.Stop();
  Spawn(kLarge, []() -> Answer { return 7; });
  io_.run();
  EXPECT_EQ(StatusOfAnswer(), 503);
  io_.restart();
  Spawn(kSmall, []() -> Answer { return 8; });
  io_.run();
  EXPECT_EQ(std::get<int>(*answer_), 8);
}

TEST_F(TextThreadsTest, WorkThatThrowsAnswers500AndEndsNothing) {
  for (const size_t bytes : {kLarge, kSmall}) {
    answer_.reset();
    Spawn(bytes, []() -> Answer { throw std::bad_alloc(); });
    RunUntilAnswered();
    EXPECT_EQ(StatusOfAnswer(), 500);
    answer_.reset();
    Spawn(bytes, []() -> Answer { return 7; });
    RunUntilAnswered();
    EXPECT_EQ(std::get<int>(*answer_), 7);
  }
}

TEST_F(TextThreadsTest, OneAccountsLongJobsLeaveAThreadToOthers) {
  Notification may_end;
  const auto bully = std::make_shared<JobOwner>("bully");
  int ended = 0;
  for (int i = 0; i < 4; ++i) {
    boost::asio::co_spawn(
        io_,
        [&]() -> boost::asio::awaitable<void> {
          const Answer answer = co_await threads_.Run(kLarge, bully, [&]() -> Answer {
            may_end.WaitForNotification();
            return 1;
          });
          ended += std::get<int>(answer);
        },
        boost::asio::detached);
  }
  Spawn(kLarge, []() -> Answer { return 7; });
  RunUntilAnswered();
  EXPECT_EQ(std::get<int>(*answer_), 7);
  may_end.Notify();
  RunUntil([&] { return ended == 4; });
}

TEST_F(TextThreadsTest, WhatAClientThatLeftWaitedForIsNeverBegun) {
  Notification first_begun, first_may_end;
  const auto other = std::make_shared<JobOwner>(owner_->account());  // which may run one job at a time
  std::optional<Answer> others_answer;
  boost::asio::co_spawn(
      io_,
      [&]() -> boost::asio::awaitable<void> {
        others_answer = co_await threads_.Run(kLarge, other, [&]() -> Answer {
          first_begun.Notify();
          first_may_end.WaitForNotification();
          return 1;
        });
      },
      boost::asio::detached);
  io_.poll();
  first_begun.WaitForNotification();
  bool begun = false;
  auto body = std::make_shared<int>(0);
  const std::weak_ptr<int> held = body;
  Spawn(kLarge, [&begun, body = std::move(body)]() -> Answer { return begun = true, 2; });
  boost::asio::post(io_, [&] { owner_->Leave(); });
  RunUntilAnswered();  // though the account's thread is busy
  EXPECT_EQ(StatusOfAnswer(), ClientLeft().status);
  EXPECT_TRUE(held.expired());
  EXPECT_TRUE(owner_->gone());
  first_may_end.Notify();
  threads_.Stop();
  EXPECT_FALSE(begun);
  io_.restart();
  io_.poll();
  EXPECT_EQ(std::get<int>(*others_answer), 1);
}

}  // namespace
}  // namespace quire::gateway
