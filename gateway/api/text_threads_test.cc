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
    answer_ = co_await threads_.Run(bytes, std::move(work));
    answered_on_ = std::this_thread::get_id();
  }

  template <typename Work>
  void Spawn(size_t bytes, Work work) {
    boost::asio::co_spawn(io_, Ask(bytes, std::move(work)), boost::asio::detached);
  }

  boost::asio::io_context io_{1};
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
  auto work = boost::asio::make_work_guard(io_);
  while (!answer_) io_.run_one();
  EXPECT_EQ(std::get<int>(*answer_), 7);
  EXPECT_EQ(answered_on_, std::this_thread::get_id());
}

TEST_F(TextThreadsTest, OnceStoppedItRefusesLargeRequestsOnly) {
  threads_.Stop();
  Spawn(kLarge, []() -> Answer { return 7; });
  io_.run();
  EXPECT_EQ(std::get<http::ApiError>(*answer_).status, 503);
  io_.restart();
  Spawn(kSmall, []() -> Answer { return 8; });
  io_.run();
  EXPECT_EQ(std::get<int>(*answer_), 8);
}

}  // namespace
}  // namespace quire::gateway
