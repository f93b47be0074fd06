// Look-ups of names by a resolver that hangs where the test wants it.
#include "gateway/api/webhooks/name_lookups.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <optional>
#include <stdexcept>
#include <vector>

#include "base/core/mutex.h"

namespace quire::gateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Found = absl::StatusOr<NameLookups::Addresses>;

constexpr milliseconds kPatience{60'000};

// Names that begin with "dead." are not answered until it is over; others have one address. It outlives the
// look-ups, as their threads do.
struct NameServer {
  Notification over;
  std::atomic<int> asked = 0, answered = 0;

  Found Answer(const std::string& host) {
    ++asked;
    if (host.rfind("dead.", 0) == 0) over.WaitForNotification();
    ++answered;
    if (host == "none.example") return absl::UnavailableError("the name is not known");
    if (host == "odd.example") throw std::runtime_error("odd");
    return NameLookups::Addresses{asio::ip::make_address("192.0.2.1")};
  }
};

class NameLookupsTest : public ::testing::Test {
 protected:
  ~NameLookupsTest() override {
    if (!server_->over.HasBeenNotified()) server_->over.Notify();
  }

  std::future<Found> Find(const std::string& host, const std::string& account,
                          milliseconds limit = kPatience) {
    auto ask = [](NameLookups& lookups, http::HttpsPost post, milliseconds limit) -> asio::awaitable<Found> {
      co_return co_await lookups.Find(post, limit);
    };
    http::HttpsPost post{.url = {.host = host, .port = 443, .target = "/"},
                         .owner = account,
                         .headers = {},
                         .body = "",
                         .on_end = [this](std::function<void()> end) { end_ = std::move(end); }};
    return asio::co_spawn(context_, ask(*lookups_, std::move(post), limit), asio::use_future);
  }
  // Runs what waits until this is there.
  Found Await(std::future<Found> found) {
    while (found.wait_for(milliseconds(0)) != std::future_status::ready) context_.run_one();
    return found.get();
  }
  // Until so many threads are in the resolver.
  void HangOn(int threads) {
    while (server_->asked < threads) EXPECT_FALSE(Await(Find("dead.example", "a", milliseconds(1))).ok());
  }
  void AwaitCount(const std::atomic<int>& count, int wanted) const {
    for (const absl::Time end = absl::Now() + absl::Seconds(60); count < wanted && absl::Now() < end;) {
    }
    EXPECT_GE(count, wanted);
  }

  const std::shared_ptr<NameServer> server_ = std::make_shared<NameServer>();
  asio::io_context context_;
  const asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::function<void()> end_;
  std::optional<NameLookups> lookups_{
      [server = server_](const std::string& host) { return server->Answer(host); }};
};

TEST_F(NameLookupsTest, SaysWhatTheResolverSays) {
  const Found found = Await(Find("hooks.example", "a"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size(), 1u);
  EXPECT_EQ(Await(Find("none.example", "a")).status().message(), "the name is not known");
  EXPECT_EQ(Await(Find("odd.example", "a")).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(end_) << "there is nothing to end any more";
}

TEST_F(NameLookupsTest, WhoAsksIsNotHeld) {
  EXPECT_EQ(Await(Find("dead.example", "a", milliseconds(1))).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  std::future<Found> ended = Find("dead.example", "a");
  asio::post(context_, [this] { end_(); });
  EXPECT_EQ(Await(std::move(ended)).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(NameLookupsTest, OneAccountsDeadNamesAreInNobodysWay) {
  std::vector<std::future<Found>> waiting;
  for (const char* account : {"a", "b", "c", "d", "e", "f", "g"}) {
    for (int i = 0; i < 5; ++i) waiting.push_back(Find("dead.example", account));
  }
  EXPECT_TRUE(Await(Find("hooks.example", "other")).ok());
  AwaitCount(server_->asked, 2 * 7 + 1);
  EXPECT_EQ(server_->asked, 2 * 7 + 1) << "two at once of an account";
  server_->over.Notify();
  for (std::future<Found>& found : waiting) EXPECT_TRUE(Await(std::move(found)).ok());
}

TEST_F(NameLookupsTest, WhatNobodyWaitsForAnyMoreIsNotBegun) {
  const int threads = NameLookups::kThreadsPerAccount;
  HangOn(threads);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Await(Find("dead.example", "a", milliseconds(1))).ok());
  server_->over.Notify();
  EXPECT_TRUE(Await(Find("hooks.example", "a")).ok());
  EXPECT_EQ(server_->asked, threads + 1);
}

// And whoever hangs ends later, over what is his.
TEST_F(NameLookupsTest, TheEndWaitsForNoNameServer) {
  HangOn(1);
  lookups_.reset();
  EXPECT_EQ(server_->answered, 0);
  server_->over.Notify();
  AwaitCount(server_->answered, 1);
}

}  // namespace
}  // namespace quire::gateway
