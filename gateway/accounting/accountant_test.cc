#include "gateway/accounting/accountant.h"

#include <gmock/gmock.h>

namespace quire::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000;

v1::AdmitReply GrantOf(uint64_t positions) {
  v1::AdmitReply reply;
  reply.mutable_grant()->set_positions(positions);
  v1::Price* price = reply.mutable_grant()->mutable_price();
  price->set_version(1);
  price->set_prompt_nano_usd(75);
  price->set_cached_prompt_nano_usd(25);
  price->set_completion_nano_usd(150);
  return reply;
}

v1::AdmitReply RefusalOf(v1::RefusalReason reason) {
  v1::AdmitReply reply;
  reply.mutable_refusal()->set_reason(reason);
  return reply;
}

v1::ProgressReply ProgressReplyOf(const RequestId& id, uint64_t granted, v1::StopCause stop = v1::STOP_NONE) {
  v1::ProgressReply reply;
  v1::ProgressResult* result = reply.add_results();
  result->set_request_id(id.ToBytes());
  result->set_granted_positions(granted);
  result->set_stop(stop);
  return reply;
}

v1::SettleReply SettleReplyOf(const RequestId& id, int64_t amount) {
  v1::SettleReply reply;
  reply.add_results()->set_request_id(id.ToBytes());
  reply.mutable_results(0)->set_amount_nano_usd(amount);
  return reply;
}

class AccountantTest : public ::testing::Test {
 protected:
  // One choice of up to 1,000 tokens after a prompt of 10, granted 256, first attempt begun.
  void Start(uint64_t granted = 256) {
    const AdmitCall call = accountant_.BeginAdmit(Request(), now_);
    ASSERT_TRUE(accountant_.OnAdmitReply(call, GrantOf(granted), now_));
    attempt_ = accountant_.NewAttempt(id_, On("g", 1));
  }
  static v1::Placement On(const std::string& group, uint64_t epoch) {
    v1::Placement placement;
    placement.set_group_id(group);
    placement.set_group_epoch(epoch);
    return placement;
  }
  AccountedRequest Request() const {
    return {.id = id_, .choices = 1, .prompt_tokens = 10, .max_tokens = 1000};
  }
  bool Accept(uint64_t positions) { return accountant_.Accept(id_, attempt_, positions, 0, now_); }
  Allowance May() { return accountant_.MayDeliver(id_, now_); }
  ProgressCall Beat() {
    now_ = accountant_.NextDueUs();
    auto call = accountant_.TakeDue(now_).progress;
    EXPECT_TRUE(call.has_value());
    return call.value_or(ProgressCall{});
  }
  SettleCall TakeSettle() {
    auto call = accountant_.TakeDue(now_).settle;
    EXPECT_TRUE(call.has_value());
    return call.value_or(SettleCall{});
  }

  RequestId id_ = RequestId::Random();
  int64_t now_ = kSecond;
  uint32_t attempt_ = 0;
  Accountant accountant_{AccountantOptions{}};
};

TEST_F(AccountantTest, NothingBeforeTheGrant) {
  accountant_.BeginAdmit(Request(), now_);
  EXPECT_EQ(May().positions, 0u);
  EXPECT_EQ(May().end, EndCause::kNone);
}

TEST_F(AccountantTest, ProgressSaysWhereTheRequestRuns) {
  v1::AdmitReply placed = GrantOf(256);
  accountant_.OnAdmitReply(accountant_.BeginAdmit(Request(), now_), placed, now_);
  accountant_.Delivered(id_, 0, 1);
  EXPECT_EQ(Beat().request.requests(0).group_id(), "") << "nowhere yet";
  accountant_.NewAttempt(id_, On("g0", 3));
  const ProgressCall first = Beat();
  EXPECT_EQ(first.request.requests(0).group_id(), "g0");
  EXPECT_EQ(first.request.requests(0).group_epoch(), 3u);
  placed.clear_grant();
  *placed.mutable_placement() = On("g9", 9);  // of an Admit sent again: it runs on g0
  accountant_.OnAdmitReply(accountant_.BeginAdmit(Request(), now_), placed, now_);
  EXPECT_EQ(Beat().request.requests(0).group_id(), "g0");
  accountant_.NewAttempt(id_, On("g1", 3));
  EXPECT_EQ(Beat().request.requests(0).group_id(), "g1");
}

TEST_F(AccountantTest, DeliveryNeverPassesTheGrant) {
  Start(5);
  EXPECT_TRUE(Accept(8));
  EXPECT_EQ(May().positions, 5u);
  accountant_.Delivered(id_, 0, 5);
  EXPECT_EQ(May().positions, 0u);
  EXPECT_EQ(May().end, EndCause::kNone);  // wait
  const ProgressCall call = Beat();
  EXPECT_THAT(accountant_.OnProgressReply(call, ProgressReplyOf(id_, 264)), ElementsAre(id_));
  EXPECT_EQ(May().positions, 259u);
}

TEST_F(AccountantTest, TheGrantCountsAllChoicesTogether) {
  AccountedRequest request = Request();
  request.choices = 2;
  accountant_.OnAdmitReply(accountant_.BeginAdmit(request, now_), GrantOf(6), now_);
  accountant_.Delivered(id_, 0, 4);
  EXPECT_EQ(May().positions, 2u);
  accountant_.Delivered(id_, 1, 2);
  EXPECT_EQ(May().positions, 0u);
}

TEST_F(AccountantTest, AsksForMoreAtHalfTheGrant) {
  int wakes = 0;
  Accountant accountant({}, [&wakes] { ++wakes; });
  accountant.OnAdmitReply(accountant.BeginAdmit(Request(), now_), GrantOf(256), now_);
  const uint32_t attempt = accountant.NewAttempt(id_, On("g", 1));
  const int wakes_before = wakes;
  accountant.Accept(id_, attempt, 127, 0, now_);
  EXPECT_GT(accountant.NextDueUs(), now_);
  accountant.Accept(id_, attempt, 1, 0, now_);
  EXPECT_EQ(accountant.NextDueUs(), now_);
  EXPECT_EQ(wakes, wakes_before + 1);
  const Due due = accountant.TakeDue(now_);
  ASSERT_TRUE(due.progress.has_value());
  EXPECT_EQ(due.progress->request.requests(0).want_positions(), 128u + 256u);
}

TEST_F(AccountantTest, WantNeverPassesWhatTheRequestCanTake) {
  Start(900);
  Accept(999);
  EXPECT_EQ(Beat().request.requests(0).want_positions(), 1000u);
}

TEST_F(AccountantTest, AGrantOfEverythingIsNotExtended) {
  Start(1000);
  Accept(999);
  accountant_.Delivered(id_, 0, 999);
  EXPECT_EQ(Beat().request.requests(0).want_positions(), 0u);
}

TEST_F(AccountantTest, BudgetEndsTheStreamAfterItsGrant) {
  Start(4);
  Accept(4);
  accountant_.Delivered(id_, 0, 3);
  EXPECT_THAT(accountant_.OnProgressReply(Beat(), ProgressReplyOf(id_, 4, v1::STOP_BUDGET)),
              ElementsAre(id_));
  EXPECT_EQ(May().positions, 1u);
  EXPECT_EQ(May().end, EndCause::kBudget);
  accountant_.OnProgressReply(Beat(), ProgressReplyOf(id_, 20));  // money came back
  EXPECT_EQ(May().end, EndCause::kNone);
}

TEST_F(AccountantTest, ALateBudgetRefusalDoesNotUndoAGrant) {
  Start(4);
  Accept(4);
  const ProgressCall first = Beat();
  const ProgressCall second = Beat();
  accountant_.OnProgressReply(second, ProgressReplyOf(id_, 20));
  accountant_.OnProgressReply(first, ProgressReplyOf(id_, 4, v1::STOP_BUDGET));
  EXPECT_EQ(May().positions, 20u);
  EXPECT_EQ(May().end, EndCause::kNone);
}

TEST_F(AccountantTest, TokensOfAnOlderAttemptAreDropped) {
  Start();
  const uint32_t second = accountant_.NewAttempt(id_, On("g", 1));
  EXPECT_FALSE(Accept(1));
  EXPECT_TRUE(accountant_.Accept(id_, second, 1, 0, now_));
  accountant_.Finish(id_, v1::SETTLE_COMPLETED, now_);
  EXPECT_FALSE(accountant_.Accept(id_, second, 1, 0, now_));
}

TEST_F(AccountantTest, CachedTokensStandFromTheFirstToken) {
  Start();
  attempt_ = accountant_.NewAttempt(id_, On("g", 1));  // the first brought none
  accountant_.Accept(id_, attempt_, 1, 8, now_);
  attempt_ = accountant_.NewAttempt(id_, On("g", 1));
  accountant_.Accept(id_, attempt_, 1, 3, now_);  // before a delivery, and after one
  accountant_.Delivered(id_, 0, 1);
  attempt_ = accountant_.NewAttempt(id_, On("g", 1));
  accountant_.Accept(id_, attempt_, 1, 10, now_);
  EXPECT_EQ(accountant_.UsageAfter(id_, 0).counts, (TokenCounts{.prompt = 10, .cached = 8, .completion = 1}));
  EXPECT_EQ(accountant_.UsageAfter(id_, 0).cost_nano_usd, 2 * 75 + 8 * 25 + 150);
}

TEST_F(AccountantTest, SettleSaysWhichGroupMadeWhatWasDelivered) {
  Start();
  const auto move = [&](const std::string& group, uint64_t epoch) {
    attempt_ = accountant_.NewAttempt(id_, On(group, epoch));
  };
  move("a", 1);
  Accept(3);
  move("b", 1);  // brings nothing
  move("a", 2);
  Accept(2);
  move("b", 7);
  Accept(5);
  accountant_.Delivered(id_, 0, 6);  // the last four of the ten were never written
  accountant_.Finish(id_, v1::SETTLE_CLIENT_GONE, now_);
  const Due due = accountant_.TakeDue(now_);
  ASSERT_TRUE(due.settle.has_value());
  std::string said;
  for (const v1::GroupTokens& made : due.settle->request.requests(0).made_by()) {
    said += made.group_id() + std::to_string(made.group_epoch()) + ":" + std::to_string(made.tokens()) + " ";
  }
  EXPECT_EQ(said, "a1:3 a2:2 b7:1 ");
}

TEST_F(AccountantTest, ProgressSaysWhatWasDeliveredNotWhatWasAccepted) {
  Start();
  Accept(50);
  accountant_.Delivered(id_, 0, 20);
  const ProgressCall call = Beat();
  ASSERT_EQ(call.request.requests_size(), 1);
  EXPECT_EQ(call.request.requests(0).delivered(0).tokens(), 20u);
}

TEST_F(AccountantTest, AQuietStreamIsHeardOfRarely) {
  Start();
  for (int i = 0; i < 9; ++i) {
    now_ = accountant_.NextDueUs();
    EXPECT_FALSE(accountant_.TakeDue(now_).progress.has_value());
  }
  EXPECT_EQ(Beat().request.requests_size(), 1);
  EXPECT_EQ(now_, kSecond + 5 * kSecond);
}

TEST_F(AccountantTest, NothingIsWrittenStopAfterPastTheLastAcknowledgedSending) {
  Start();
  now_ += 20 * kSecond;
  const auto call = accountant_.TakeDue(now_).progress;
  ASSERT_TRUE(call.has_value());
  now_ += 5 * kSecond;
  accountant_.OnProgressReply(*call, ProgressReplyOf(id_, 256));  // sent at 21 s, whenever it came back
  now_ = (21 + 30) * kSecond;
  EXPECT_EQ(May().positions, 256u);
  now_ += 1;
  EXPECT_EQ(May().positions, 0u);
  EXPECT_EQ(May().end, EndCause::kStopped);
  EXPECT_EQ(accountant_.counters().stopped, 1u);
}

TEST_F(AccountantTest, AWaitingStreamLearnsThatItIsStopped) {
  Start();
  now_ += 31 * kSecond;
  EXPECT_THAT(accountant_.TakeDue(now_).ended, ElementsAre(id_));
  EXPECT_EQ(May().end, EndCause::kStopped);
}

TEST_F(AccountantTest, AGrantAfterALongQueueWaitIsConfirmedBeforeAnythingIsWritten) {
  const AdmitCall call = accountant_.BeginAdmit(Request(), now_);
  now_ += 40 * kSecond;
  EXPECT_TRUE(accountant_.OnAdmitReply(call, GrantOf(256), now_));
  EXPECT_EQ(May().positions, 0u);
  EXPECT_EQ(May().end, EndCause::kNone);
  const ProgressCall progress = Beat();
  EXPECT_EQ(now_, 41 * kSecond);
  EXPECT_THAT(accountant_.OnProgressReply(progress, ProgressReplyOf(id_, 256)), ElementsAre(id_));
  EXPECT_EQ(May().positions, 256u);
}

TEST_F(AccountantTest, StopsThatTheLedgerOrders) {
  Start();
  accountant_.Delivered(id_, 0, 1);
  EXPECT_THAT(accountant_.OnProgressReply(Beat(), ProgressReplyOf(id_, 256, v1::STOP_REVOKED)),
              ElementsAre(id_));
  EXPECT_EQ(May().end, EndCause::kRevoked);
  EXPECT_EQ(May().positions, 0u);
  EXPECT_FALSE(Accept(1));
}

TEST_F(AccountantTest, SettleIsResentUntilAcknowledged) {
  Start();
  Accept(3);
  accountant_.Delivered(id_, 0, 3);
  const Usage usage = accountant_.UsageAfter(id_, 0);
  accountant_.Finish(id_, v1::SETTLE_COMPLETED, now_);
  EXPECT_EQ(accountant_.open_requests(), 0u);
  SettleCall call;
  for (int i = 0; i < 3; ++i) {
    call = TakeSettle();
    EXPECT_EQ(call.request.requests(0).delivered(0).tokens(), 3u);
    accountant_.OnSettleFailed(call, now_);
    EXPECT_FALSE(accountant_.TakeDue(now_).settle.has_value());
    now_ += SettleOptions().max_resend_us;
  }
  accountant_.OnSettleReply(call, SettleReplyOf(id_, usage.cost_nano_usd), now_);
  accountant_.OnSettleReply(call, SettleReplyOf(id_, usage.cost_nano_usd), now_);
  EXPECT_EQ(accountant_.pending_settles(), 0u);
  EXPECT_EQ(accountant_.counters().settled, 1u);
  EXPECT_EQ(accountant_.counters().settle_mismatches, 0u);
}

TEST_F(AccountantTest, AnAnswerWakesTheDriverForTheSettlesThatWaited) {
  int wakes = 0;
  Accountant accountant({}, [&wakes] { ++wakes; });
  const auto abandon = [&] {
    const RequestId id = RequestId::Random();
    accountant.BeginAdmit({.id = id, .choices = 1, .prompt_tokens = 1, .max_tokens = 1}, now_);
    accountant.Finish(id, v1::SETTLE_ABANDONED, now_);
  };
  abandon();
  EXPECT_EQ(wakes, 1);
  const auto call = accountant.TakeDue(now_).settle;
  ASSERT_TRUE(call.has_value());
  abandon();
  EXPECT_EQ(wakes, 1);  // one message at a time
  accountant.OnSettleReply(*call, SettleReplyOf(id_, 0), now_);
  EXPECT_EQ(wakes, 2);
  EXPECT_EQ(accountant.NextDueUs(), now_);
}

TEST_F(AccountantTest, ABacklogOfSettlesIsSaid) {
  AccountantOptions options;
  options.max_pending_settles = 2;
  Accountant accountant(options);
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(accountant.backlogged());
    const RequestId id = RequestId::Random();
    accountant.BeginAdmit({.id = id, .choices = 1, .prompt_tokens = 1, .max_tokens = 1}, now_);
    accountant.Finish(id, v1::SETTLE_ABANDONED, now_);
  }
  EXPECT_TRUE(accountant.backlogged());
}

TEST_F(AccountantTest, ADefiniteRefusalNeedsNoSettle) {
  accountant_.OnAdmitReply(accountant_.BeginAdmit(Request(), now_), RefusalOf(v1::REFUSAL_BUDGET), now_);
  accountant_.Finish(id_, v1::SETTLE_ABANDONED, now_);
  EXPECT_EQ(accountant_.pending_settles(), 0u);
  EXPECT_EQ(accountant_.open_requests(), 0u);
}

TEST_F(AccountantTest, AnUnsureRefusalIsSettled) {
  accountant_.OnAdmitReply(accountant_.BeginAdmit(Request(), now_), RefusalOf(v1::REFUSAL_LEDGER), now_);
  EXPECT_EQ(accountant_.pending_settles(), 1u);
  id_ = RequestId::Random();
  accountant_.BeginAdmit(Request(), now_);
  accountant_.OnAdmitReply(accountant_.BeginAdmit(Request(), now_), RefusalOf(v1::REFUSAL_BUDGET), now_);
  EXPECT_EQ(accountant_.pending_settles(), 2u);
}

TEST_F(AccountantTest, AGrantOfAnEndedRequestIsSettled) {
  const AdmitCall call = accountant_.BeginAdmit(Request(), now_);
  accountant_.Finish(id_, v1::SETTLE_ABANDONED, now_);
  accountant_.OnSettleReply(TakeSettle(), SettleReplyOf(id_, 0), now_);
  EXPECT_FALSE(accountant_.OnAdmitReply(call, GrantOf(256), now_));
  EXPECT_EQ(accountant_.pending_settles(), 1u);
  EXPECT_EQ(accountant_.TakeDue(now_).settle->request.requests(0).reason(), v1::SETTLE_ABANDONED);
}

TEST_F(AccountantTest, NothingIsDueWhenNothingIsOpen) {
  EXPECT_EQ(accountant_.NextDueUs(), INT64_MAX);
  const Due due = accountant_.TakeDue(now_);
  EXPECT_FALSE(due.progress || due.settle);
  EXPECT_THAT(due.ended, IsEmpty());
}

// Its grant says the price of positions that are no tokens.
TEST_F(AccountantTest, AnEchoAloneIsAPositionAndNoToken) {
  AccountedRequest request = Request();
  request.max_tokens = 0;
  request.choices = 2;
  const AdmitCall call = accountant_.BeginAdmit(request, now_);
  v1::AdmitReply grant = GrantOf(2);
  grant.mutable_grant()->mutable_price()->set_completion_nano_usd(0);
  ASSERT_TRUE(accountant_.OnAdmitReply(call, grant, now_));
  EXPECT_TRUE(accountant_.Accept(id_, accountant_.NewAttempt(id_, On("g", 1)), 2, 0, now_));
  EXPECT_EQ(accountant_.UsageAfter(id_, 0).cost_nano_usd, 0);
  const Usage after = accountant_.UsageAfter(id_, 2);
  EXPECT_EQ(after.cost_nano_usd, 10 * 75);
  EXPECT_EQ(after.counts, (TokenCounts{.prompt = 10, .cached = 0, .completion = 0}));
  EXPECT_EQ(accountant_.MayDeliver(id_, now_).positions, 2u);
}

}  // namespace
}  // namespace quire::gateway
