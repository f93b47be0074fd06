#include "gateway/accounting/settle_queue.h"

#include <gmock/gmock.h>

namespace quire::gateway {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

class SettleQueueTest : public ::testing::Test {
 protected:
  RequestId Add() {
    const RequestId id = RequestId::Random();
    v1::RequestSettle settle;
    settle.set_request_id(id.ToBytes());
    queue_.Add(id, std::move(settle), /*expected_nano_usd=*/5, now_);
    return id;
  }
  static v1::SettleReply ReplyTo(const SettleCall& call, int64_t amount = 5) {
    v1::SettleReply reply;
    for (const v1::RequestSettle& settle : call.request.requests()) {
      v1::SettleResult* result = reply.add_results();
      result->set_request_id(settle.request_id());
      result->set_amount_nano_usd(amount);
    }
    return reply;
  }
  SettleCall Take() {
    auto call = queue_.Take(now_);
    EXPECT_TRUE(call.has_value());
    return call.value_or(SettleCall{});
  }

  int64_t now_ = kSecondUs;
  SettleQueue queue_{{.per_message = 3, .lost_after_us = 15 * kSecondUs}};
};

TEST_F(SettleQueueTest, OneMessageAtATimeOfBoundedSize) {
  for (int i = 0; i < 7; ++i) Add();
  for (const int size : {3, 3, 1}) {
    const SettleCall call = Take();
    EXPECT_EQ(call.request.requests_size(), size);
    EXPECT_FALSE(queue_.Take(now_).has_value());
    EXPECT_GT(queue_.NextDueUs(), now_);  // nobody is woken for what can't be sent
    queue_.OnReply(call, ReplyTo(call), now_);
  }
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_EQ(queue_.NextDueUs(), INT64_MAX);
}

TEST_F(SettleQueueTest, AfterAFailureLaterAndLater) {
  Add();
  std::vector<int64_t> waits;
  for (int i = 0; i < 5; ++i) {
    queue_.OnFailed(Take(), now_);
    Add();  // a newcomer doesn't make it sooner
    waits.push_back((queue_.NextDueUs() - now_) / kSecondUs);
    EXPECT_FALSE(queue_.Take(queue_.NextDueUs() - 1).has_value());
    now_ = queue_.NextDueUs();
  }
  EXPECT_THAT(waits, ::testing::ElementsAre(1, 2, 4, 5, 5));
  const SettleCall call = Take();
  queue_.OnReply(call, ReplyTo(call), now_);
  EXPECT_LE(queue_.NextDueUs(), now_);  // the rest goes out at once
  queue_.OnFailed(Take(), now_);
  EXPECT_EQ(queue_.NextDueUs(), now_ + kSecondUs);  // and the next failure is a first one
}

TEST_F(SettleQueueTest, WhatIsNeverAnsweredCountsAsLost) {
  Add();
  const SettleCall lost = Take();
  EXPECT_EQ(queue_.NextDueUs(), now_ + 15 * kSecondUs);
  now_ = queue_.NextDueUs();
  EXPECT_FALSE(queue_.Take(now_).has_value());  // a failure like any other
  now_ = queue_.NextDueUs();
  const SettleCall again = Take();
  EXPECT_EQ(again.request.requests_size(), 1);
  // The first one's late answer counts for what it names; the second one stays under way.
  Add();
  queue_.OnFailed(lost, now_);
  EXPECT_FALSE(queue_.Take(now_).has_value());
  EXPECT_EQ(queue_.OnReply(lost, ReplyTo(lost), now_).settled, 1u);
  EXPECT_FALSE(queue_.Take(now_).has_value());
  EXPECT_EQ(queue_.OnReply(again, ReplyTo(again), now_).settled, 0u);
  EXPECT_EQ(Take().request.requests_size(), 1);
}

TEST_F(SettleQueueTest, WhatAReplyLeavesOutIsSaidAgain) {
  Add();
  Add();
  const SettleCall call = Take();
  v1::SettleReply half = ReplyTo(call);
  half.mutable_results()->RemoveLast();
  queue_.OnReply(call, half, now_);
  EXPECT_EQ(queue_.size(), 1u);
  EXPECT_EQ(queue_.NextDueUs(), now_ + kSecondUs);
  now_ += kSecondUs;
  EXPECT_EQ(Take().request.requests(0).request_id(), call.request.requests(1).request_id());
}

TEST_F(SettleQueueTest, CountsWhatWasPostedOtherwise) {
  Add();
  Add();
  const SettleCall call = Take();
  v1::SettleReply reply = ReplyTo(call);
  reply.mutable_results(1)->set_amount_nano_usd(4);
  const auto acknowledged = queue_.OnReply(call, reply, now_);
  EXPECT_EQ(acknowledged.settled, 2u);
  EXPECT_EQ(acknowledged.mismatches, 1u);
}

}  // namespace
}  // namespace quire::gateway
