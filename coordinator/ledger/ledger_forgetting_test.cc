// R10: what nothing was billed for is forgotten after a while, and nothing goes wrong if it is heard of
// again.
#include <gmock/gmock.h>

#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kMinuteMs = 60'000;

class LedgerForgettingTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(test_.Start(/*cap=*/1'000'000).ok()); }
  bool Granted(const RequestId& id) { return test_.Admit(TestLedger::AdmitOf(id))->has_grant(); }
  int64_t Settle(const RequestId& id, uint64_t delivered = 0) {
    return *test_.Settle(TestLedger::SettleOf(id, delivered, v1::SETTLE_ABANDONED));
  }
  // So much later: a pass, and something to commit it with.
  void Later(int64_t ms) {
    test_.unix_ms += ms;
    now_us_ += 5'000'000;
    test_.ledger.AdvanceReaper(now_us_);
    test_.Account();
  }
  void FallSilent() {
    for (int i = 0; i < 200; ++i) Later(5'000);
  }

  MemoryStore store_;
  TestLedger test_{&store_};
  int64_t now_us_ = 0;
  const RequestId id_ = RequestId::Random();
};

TEST_F(LedgerForgettingTest, NothingDeliveredLeavesNothingBehindInTheEnd) {
  const RequestId never_admitted = RequestId::Random();
  ASSERT_TRUE(Granted(id_));
  EXPECT_EQ(Settle(id_), 0);
  EXPECT_EQ(Settle(never_admitted), 0);
  EXPECT_TRUE(store_.entries().empty());
  Later(5 * kMinuteMs - 10);
  for (const RequestId& id : {id_, never_admitted}) {
    EXPECT_EQ(test_.Admit(TestLedger::AdmitOf(id))->refusal().reason(), v1::REFUSAL_CLOSED);
  }
  Later(20);
  EXPECT_TRUE(store_.requests().empty());
}

TEST_F(LedgerForgettingTest, ForgettingAloneIsNoReasonToCommit) {
  Settle(id_);
  test_.unix_ms += 10 * kMinuteMs;
  test_.ledger.AdvanceReaper(1);
  const uint64_t commits = store_.commits();
  ASSERT_TRUE(test_.ledger.Commit(test_.unix_ms).ok());
  EXPECT_EQ(store_.commits(), commits);
}

TEST_F(LedgerForgettingTest, SoManyAtATimeTheOldestFirst) {
  MemoryStore store;
  LedgerOptions options;
  options.forget_most = 2;
  TestLedger test(&store, options);
  ASSERT_TRUE(test.Start().ok());
  std::vector<RequestId> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(RequestId::Random());
    EXPECT_EQ(*test.Settle(TestLedger::SettleOf(ids.back(), 0)), 0);
  }
  test.unix_ms += 10 * kMinuteMs;
  for (const size_t left : {size_t{3}, size_t{1}, size_t{0}}) {
    test.ledger.AdvanceReaper(1);
    test.Account();
    EXPECT_EQ(store.requests().size(), left);
    EXPECT_EQ(store.requests().contains(ids.back()), left > 0);
  }
}

TEST_F(LedgerForgettingTest, WhatWasBilledIsKeptForEver) {
  ASSERT_TRUE(Granted(id_));
  EXPECT_EQ(Settle(id_, 3), 1200);
  for (int i = 0; i < 10; ++i) Later(60 * kMinuteMs);
  EXPECT_EQ(test_.Admit(TestLedger::AdmitOf(id_))->refusal().reason(), v1::REFUSAL_CLOSED);
  EXPECT_EQ(Settle(id_, 3), 1200);
  EXPECT_EQ(test_.Account().balance_nano_usd, 1200);
}

// Its gateway may wake yet, and say that it had delivered something.
TEST_F(LedgerForgettingTest, WhatWasReapedIsKeptForEver) {
  ASSERT_TRUE(Granted(id_));
  FallSilent();
  EXPECT_EQ(store_.requests().at(id_).reason, v1::SETTLE_REAPED);
  EXPECT_TRUE(store_.entries().empty());
  for (int i = 0; i < 10; ++i) Later(60 * kMinuteMs);
  EXPECT_EQ(test_.Admit(TestLedger::AdmitOf(id_))->refusal().reason(), v1::REFUSAL_CLOSED);
  EXPECT_EQ(Settle(id_, 3), 0);
  EXPECT_EQ(test_.ledger.counters().unbilled_positions, 3u);
}

// An Admit that was on its way for longer than that opens the request anew. Its gateway settles it (R7), or
// the reaper closes it.
TEST_F(LedgerForgettingTest, ALateAdmitOfAForgottenRequestBillsNothingAndEnds) {
  const RequestId unheard = RequestId::Random();
  for (const RequestId& id : {id_, unheard}) Settle(id);
  Later(10 * kMinuteMs);
  ASSERT_TRUE(store_.requests().empty());
  EXPECT_TRUE(Granted(id_));
  EXPECT_TRUE(Granted(unheard));
  EXPECT_EQ(test_.Progress(TestLedger::ProgressOf(id_, 0))->stop(), v1::STOP_NONE);
  EXPECT_EQ(Settle(id_), 0);
  EXPECT_EQ(Settle(id_), 0);
  FallSilent();
  EXPECT_EQ(store_.requests().at(unheard).state, RequestState::kClosed);
  EXPECT_EQ(test_.Account().held_nano_usd, 0);
  EXPECT_EQ(test_.Account().balance_nano_usd, 0);
  EXPECT_TRUE(store_.entries().empty());
}

// The same for a Settle: a resend of one whose answer got lost.
TEST_F(LedgerForgettingTest, ALateSettleOfAForgottenRequestAnswersTheSame) {
  Settle(id_);
  Later(10 * kMinuteMs);
  EXPECT_EQ(Settle(id_), 0);
  EXPECT_TRUE(store_.entries().empty());
  Later(10 * kMinuteMs);
  EXPECT_TRUE(store_.requests().empty());
}

}  // namespace
}  // namespace quire::coordinator
