// A delivery's attempts, with a scripted world: nothing is sent, and nobody waits.
#include "gateway/api/webhooks/webhook_delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <map>
#include <vector>

namespace quire::gateway {
namespace {

using boost::asio::awaitable;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using Outcome = DeliveryReport::Outcome;

class WebhookDeliveryTest : public ::testing::Test {
 protected:
  // What each attempt gets; the last one stays.
  std::vector<absl::StatusOr<int>> replies_;
  size_t drains_before_wait_ = SIZE_MAX;  // this wait is the first that is cut short
  std::vector<http::HttpsPost> posts_;
  std::vector<int64_t> waits_ms_;
  ManualClock clock_;

  DeliveryReport Send(const std::vector<milliseconds>& delays = RetryDelays(milliseconds(1000))) {
    const WebhookDelivery delivery{.id = "msg_1",
                                   .account = "ada",
                                   .url = {.host = "hooks.example", .port = 443, .target = "/a"},
                                   .secret = "secret",
                                   .body = "{}"};
    const DeliveryWorld world{.post = [this](http::HttpsPost post) { return Post(std::move(post)); },
                              .wait = [this](milliseconds delay) { return Wait(delay); },
                              .clock = clock_};
    boost::asio::io_context context;
    auto report = boost::asio::co_spawn(context, Deliver(delivery, world, delays), boost::asio::use_future);
    context.run();
    return report.get();
  }

 private:
  awaitable<absl::StatusOr<int>> Post(http::HttpsPost post) {
    posts_.push_back(std::move(post));
    co_return replies_[std::min(posts_.size(), replies_.size()) - 1];
  }
  awaitable<bool> Wait(milliseconds delay) {
    if (waits_ms_.size() >= drains_before_wait_) co_return false;
    waits_ms_.push_back(delay.count());
    clock_.AdvanceMs(delay.count());
    co_return true;
  }
};

TEST_F(WebhookDeliveryTest, OneThatIsTakenIsSentOnce) {
  replies_ = {204};
  const DeliveryReport report = Send();
  EXPECT_EQ(report.outcome, Outcome::kDelivered);
  EXPECT_EQ(report.attempts, 1);
  EXPECT_EQ(report.status, 204);
  EXPECT_EQ(posts_[0].owner, "ada");
  EXPECT_EQ(posts_[0].body, "{}");
  EXPECT_TRUE(waits_ms_.empty());
}

TEST_F(WebhookDeliveryTest, WhatMayGoBetterIsTriedAgainLaterAndLater) {
  for (const absl::StatusOr<int>& reply :
       std::vector<absl::StatusOr<int>>{408, 429, 500, 503, 599, absl::UnavailableError("no connection"),
                                        absl::DeadlineExceededError("late")}) {
    replies_ = {reply};
    posts_.clear();
    waits_ms_.clear();
    const DeliveryReport report = Send();
    EXPECT_EQ(report.outcome, Outcome::kGivenUp) << reply.status();
    EXPECT_EQ(report.attempts, 4);
    EXPECT_EQ(report.status, reply.ok() ? *reply : 0);
    EXPECT_EQ(report.reason, reply.ok() ? "" : reply.status().message());
    EXPECT_THAT(waits_ms_, ElementsAre(1000, 5000, 25000));
  }
}

TEST_F(WebhookDeliveryTest, WhatWouldGoAsBadlyIsNot) {
  for (const int status : {101, 301, 302, 307, 400, 401, 404, 410, 422}) {
    replies_ = {status};
    posts_.clear();
    const DeliveryReport report = Send();
    EXPECT_EQ(report.outcome, Outcome::kRefused) << status;
    EXPECT_EQ(posts_.size(), 1u);
  }
  replies_ = {absl::PermissionDeniedError("an address")};
  posts_.clear();
  EXPECT_EQ(Send().outcome, Outcome::kForbidden);
  EXPECT_EQ(posts_.size(), 1u);
  replies_ = {absl::CancelledError("it was ended")};
  posts_.clear();
  EXPECT_EQ(Send().outcome, Outcome::kGivenUp);
  EXPECT_EQ(posts_.size(), 1u);
}

// A receiver knows a repeated delivery by its id; a signature is as old as its attempt.
TEST_F(WebhookDeliveryTest, EachAttemptIsSignedAnewUnderOneId) {
  replies_ = {absl::UnavailableError("no connection"), 500, 200};
  const DeliveryReport report = Send();
  EXPECT_EQ(report.outcome, Outcome::kDelivered);
  EXPECT_EQ(report.attempts, 3);
  EXPECT_EQ(report.reason, "");
  ASSERT_EQ(posts_.size(), 3u);
  std::vector<std::string> ids, times, signatures;
  for (const http::HttpsPost& post : posts_) {
    std::map<std::string, std::string> headers(post.headers.begin(), post.headers.end());
    ids.push_back(headers["webhook-id"]);
    times.push_back(headers["webhook-timestamp"]);
    signatures.push_back(headers["webhook-signature"]);
    EXPECT_EQ(headers["content-type"], "application/json");
  }
  EXPECT_THAT(ids, ElementsAre("msg_1", "msg_1", "msg_1"));
  EXPECT_THAT(times, ElementsAre("1700000000", "1700000001", "1700000006"));
  EXPECT_NE(signatures[0], signatures[1]);
}

TEST_F(WebhookDeliveryTest, WhoIsWokenTriesOnceMore) {
  replies_ = {500};
  drains_before_wait_ = 1;
  EXPECT_EQ(Send().attempts, 3) << "the second waited, the third was the last";
  EXPECT_THAT(waits_ms_, ElementsAre(1000));
  posts_.clear();
  waits_ms_.clear();
  drains_before_wait_ = 0;
  replies_ = {500, 200};
  const DeliveryReport report = Send();
  EXPECT_EQ(report.outcome, Outcome::kDelivered);
  EXPECT_EQ(report.attempts, 2);
}

TEST_F(WebhookDeliveryTest, WithoutDelaysThereIsOneAttempt) {
  replies_ = {500};
  EXPECT_EQ(Send({}).attempts, 1);
  EXPECT_TRUE(waits_ms_.empty());
}

}  // namespace
}  // namespace quire::gateway
