#include "coordinator/ledger/ledger.h"

#include <gmock/gmock.h>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kSecond = 1'000'000;

class LedgerTest : public ::testing::Test {
 protected:
  void Start(std::optional<int64_t> cap = std::nullopt) { ASSERT_TRUE(test_.Start(cap).ok()); }
  uint64_t Granted(const v1::AdmitRequest& request) {
    const auto reply = test_.Admit(request);
    return reply.ok() ? reply->grant().positions() : 0;
  }
  v1::RefusalReason Refused(const v1::AdmitRequest& request) {
    const auto reply = test_.Admit(request);
    return reply.ok() ? reply->refusal().reason() : v1::REFUSAL_UNSPECIFIED;
  }
  static v1::AdmitRequest AdmitOf(const RequestId& id, uint64_t prompt = 10, uint64_t max = 1000,
                                  uint32_t n = 1) {
    return TestLedger::AdmitOf(id, prompt, max, n);
  }

  MemoryStore store_;
  TestLedger test_{&store_};
  const RequestId id_ = RequestId::Random();
};

// ---- admit ----

TEST_F(LedgerTest, TheFirstGrantIsAtMost256) {
  Start();
  EXPECT_EQ(Granted(AdmitOf(RequestId::Random(), 10, 1000)), 256u);
  EXPECT_EQ(Granted(AdmitOf(RequestId::Random(), 10, 100)), 100u);
  EXPECT_EQ(Granted(AdmitOf(RequestId::Random(), 10, 100, 2)), 200u);
}

TEST_F(LedgerTest, TheGrantCarriesItsPrice) {
  Start();
  const auto reply = test_.Admit(AdmitOf(id_));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->grant().price().version(), 1u);
  EXPECT_EQ(reply->grant().price().cached_prompt_nano_usd(), 25);
}

TEST_F(LedgerTest, AdmitIsIdempotent) {
  Start();
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
  const AccountRow before = test_.Account();
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
  EXPECT_EQ(test_.Account(), before);
  EXPECT_EQ(before.held_nano_usd, 10 * 75 + 256 * 150);
}

TEST_F(LedgerTest, RefusalsSayWhy) {
  Start();
  auto request = AdmitOf(id_);
  request.set_key_id("other");
  EXPECT_EQ(Refused(request), v1::REFUSAL_KEY);
  request = AdmitOf(id_);
  request.set_model("other");
  EXPECT_EQ(Refused(request), v1::REFUSAL_MODEL);
  KeyRow narrow = TestLedger::TestKey("narrow");
  narrow.models = {"other"};
  test_.ledger.CreateKey(narrow, [](auto) {});
  KeyRow admin = TestLedger::TestKey("admin");
  admin.kind = KeyKind::kAdmin;
  test_.ledger.CreateKey(admin, [](auto) {});
  request = AdmitOf(id_);
  request.set_key_id("narrow");
  EXPECT_EQ(Refused(request), v1::REFUSAL_SCOPE);
  request.set_key_id("admin");
  EXPECT_EQ(Refused(request), v1::REFUSAL_KEY);
  EXPECT_TRUE(store_.requests().empty());
}

TEST_F(LedgerTest, MalformedRequestsAreErrors) {
  Start();
  auto request = AdmitOf(id_);
  request.set_request_id("short");
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Admit(request).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Admit(AdmitOf(id_, 10, 10, 0)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Admit(AdmitOf(id_, 10, 10, 257)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Admit(AdmitOf(id_, 10, UINT64_MAX, 2)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Admit(AdmitOf(id_, UINT64_MAX, 1)).status()));
}

// ---- the cap ----

TEST_F(LedgerTest, TheGrantIsWhatTheAccountCanAfford) {
  Start(10 * 75 + 7 * 150 + 149);
  EXPECT_EQ(Granted(AdmitOf(id_)), 7u);
  EXPECT_EQ(Refused(AdmitOf(RequestId::Random())), v1::REFUSAL_BUDGET);
}

TEST_F(LedgerTest, OnePositionPerChoiceOrNothing) {
  Start(10 * 75 + 3 * 150);
  EXPECT_EQ(Refused(AdmitOf(id_, 10, 1000, 4)), v1::REFUSAL_BUDGET);
  EXPECT_EQ(Granted(AdmitOf(id_, 10, 1000, 3)), 3u);
}

TEST_F(LedgerTest, ManyRequestsInOneTransactionCannotOvershoot) {
  const int64_t cap = 64 * (75 + 150) - 1;
  Start(cap);
  int granted = 0;
  for (int i = 0; i < 64; ++i) {
    test_.ledger.Admit(AdmitOf(RequestId::Random(), 1, 1), [&](absl::StatusOr<v1::AdmitReply> reply) {
      granted += reply.ok() && reply->has_grant();
    });
  }
  EXPECT_EQ(granted, 0);  // R1: nothing before the commit
  ASSERT_TRUE(test_.ledger.Commit(5).ok());
  EXPECT_EQ(granted, 63);
  EXPECT_LE(test_.Account().held_nano_usd, cap);
}

TEST_F(LedgerTest, ExtensionsStopAtTheCapAndGoOnWhenMoneyComesBack) {
  Start(2 * (10 * 75) + 300 * 150);
  const RequestId other = RequestId::Random();
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
  EXPECT_EQ(Granted(AdmitOf(other, 10, 40)), 40u);
  EXPECT_EQ(test_.Progress(TestLedger::ProgressOf(id_, 250, 500))->granted_positions(), 260u);
  const auto refused = test_.Progress(TestLedger::ProgressOf(id_, 260, 500));
  EXPECT_EQ(refused->stop(), v1::STOP_BUDGET);
  EXPECT_EQ(refused->granted_positions(), 260u);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(other, 0, v1::SETTLE_CLIENT_GONE)), 0);
  const auto extended = test_.Progress(TestLedger::ProgressOf(id_, 260, 500));
  EXPECT_EQ(extended->stop(), v1::STOP_NONE);
  EXPECT_EQ(extended->granted_positions(), 305u);
}

TEST_F(LedgerTest, ALoweredCapTakesNoHoldBack) {
  Start(1'000'000);
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
  test_.ledger.PutAccount("acme", 1, [](auto) {});
  EXPECT_EQ(Refused(AdmitOf(RequestId::Random())), v1::REFUSAL_BUDGET);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 256)), 10 * 75 + 256 * 150);
}

TEST_F(LedgerTest, AFreeModelStillNeedsACapAboveZeroSpent) {
  Start(0);
  test_.ledger.SetPrice("free", TokenPrice{}, [](auto) {});
  auto request = AdmitOf(id_);
  request.set_model("free");
  EXPECT_EQ(Granted(request), 256u);
}

// ---- progress ----

TEST_F(LedgerTest, DeliveredOnlyGrows) {
  Start();
  Granted(AdmitOf(id_));
  test_.Progress(TestLedger::ProgressOf(id_, 9)).IgnoreError();
  test_.Progress(TestLedger::ProgressOf(id_, 5)).IgnoreError();
  EXPECT_EQ(store_.requests().at(id_).delivered.at(0), 9u);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 4)), 10 * 75 + 9 * 150);
}

TEST_F(LedgerTest, CachedTokensAreThoseOfTheFirstDelivery) {
  Start();
  Granted(AdmitOf(id_));
  test_.Progress(TestLedger::ProgressOf(id_, 0, 0, 3)).IgnoreError();  // nothing delivered: not fixed yet
  test_.Progress(TestLedger::ProgressOf(id_, 1, 0, 4)).IgnoreError();
  test_.Progress(TestLedger::ProgressOf(id_, 2, 0, 9)).IgnoreError();
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 2, v1::SETTLE_COMPLETED, 9)), 6 * 75 + 4 * 25 + 2 * 150);
}

TEST_F(LedgerTest, AGrantNeverPassesWhatTheRequestCanTake) {
  Start();
  Granted(AdmitOf(id_, 10, 300));
  EXPECT_EQ(test_.Progress(TestLedger::ProgressOf(id_, 1, 5000))->granted_positions(), 300u);
}

TEST_F(LedgerTest, ARevokedKeyGetsNothingMore) {
  Start();
  Granted(AdmitOf(id_));
  test_.ledger.RevokeKey("key", 7, [](auto) {});
  const auto result = test_.Progress(TestLedger::ProgressOf(id_, 200, 500));
  EXPECT_EQ(result->stop(), v1::STOP_REVOKED);
  EXPECT_EQ(result->granted_positions(), 256u);
  EXPECT_EQ(Refused(AdmitOf(RequestId::Random())), v1::REFUSAL_KEY);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 200)), 10 * 75 + 200 * 150);
}

TEST_F(LedgerTest, ProgressOfUnknownOrClosedRequestsSaysClosed) {
  Start();
  EXPECT_EQ(test_.Progress(TestLedger::ProgressOf(id_, 1))->stop(), v1::STOP_CLOSED);
  Granted(AdmitOf(id_));
  test_.Settle(TestLedger::SettleOf(id_, 1)).IgnoreError();
  EXPECT_EQ(test_.Progress(TestLedger::ProgressOf(id_, 50, 500))->stop(), v1::STOP_CLOSED);
  EXPECT_EQ(store_.requests().at(id_).delivered.at(0), 1u);
}

TEST_F(LedgerTest, NonsenseInAReportIsBounded) {
  Start();
  Granted(AdmitOf(id_, 10, 20));
  auto request = TestLedger::ProgressOf(id_, UINT64_MAX);
  request.mutable_requests(0)->add_delivered()->set_choice(7);
  request.mutable_requests(0)->mutable_delivered(1)->set_tokens(5);
  test_.Progress(request).IgnoreError();
  EXPECT_EQ(store_.requests().at(id_).delivered, (std::map<uint32_t, uint64_t>{{0, 20}}));
}

// ---- settle ----

TEST_F(LedgerTest, SettlePostsOnceAndReleasesTheHold) {
  Start();
  Granted(AdmitOf(id_));
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 3)), 10 * 75 + 3 * 150);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 3)), 10 * 75 + 3 * 150);
  EXPECT_EQ(test_.Account().balance_nano_usd, 10 * 75 + 3 * 150);
  EXPECT_EQ(test_.Account().held_nano_usd, 0);
  EXPECT_EQ(store_.entries().size(), 1u);
  EXPECT_EQ(test_.ledger.counters().posted_positions, 3u);
}

TEST_F(LedgerTest, TwoSettlesInOneTransactionPostOnce) {
  Start();
  Granted(AdmitOf(id_));
  std::vector<int64_t> amounts;
  for (int i = 0; i < 2; ++i) {
    test_.ledger.Settle(TestLedger::SettleOf(id_, 3), [&](absl::StatusOr<v1::SettleReply> reply) {
      amounts.push_back(reply->results(0).amount_nano_usd());
    });
  }
  ASSERT_TRUE(test_.ledger.Commit(5).ok());
  EXPECT_THAT(amounts, ::testing::ElementsAre(1200, 1200));
  EXPECT_EQ(test_.Account().balance_nano_usd, 1200);
}

TEST_F(LedgerTest, NothingDeliveredCostsNothing) {
  Start();
  Granted(AdmitOf(id_));
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 0, v1::SETTLE_CLIENT_GONE)), 0);
  EXPECT_TRUE(store_.entries().empty());
}

TEST_F(LedgerTest, SettleAboveTheGrantPostsTheGrantAndAlarms) {
  Start();
  Granted(AdmitOf(id_));
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 500)), 10 * 75 + 256 * 150);
  EXPECT_EQ(test_.ledger.counters().above_grant_alarms, 1u);
}

TEST_F(LedgerTest, SettleOfAnUnknownIdShutsTheDoor) {
  Start();
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 0, v1::SETTLE_ABANDONED)), 0);
  EXPECT_EQ(Refused(AdmitOf(id_)), v1::REFUSAL_CLOSED);
  EXPECT_TRUE(store_.entries().empty());
}

// ---- the group commit ----

TEST_F(LedgerTest, AFailedCommitLeavesNothingBehind) {
  Start();
  const AccountRow before = test_.Account();
  store_.FailNextCommit(CommitFault::kDiskFull);
  EXPECT_EQ(Refused(AdmitOf(id_)), v1::REFUSAL_LEDGER);
  EXPECT_EQ(test_.Account(), before);
  EXPECT_EQ(test_.ledger.counters().failed_commits, 1u);
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
}

TEST_F(LedgerTest, ACommitOfUnknownOutcomeIsReadBack) {
  Start();
  Granted(AdmitOf(id_));
  store_.FailNextCommit(CommitFault::kUnknown);
  EXPECT_TRUE(absl::IsUnavailable(test_.Settle(TestLedger::SettleOf(id_, 3)).status()));
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 3)), 1200);
  EXPECT_EQ(test_.Account().balance_nano_usd, 1200);
}

TEST_F(LedgerTest, WhileTheStoreIsGoneEverythingIsRefusedAndItComesBack) {
  Start();
  store_.set_unreachable(true);
  EXPECT_EQ(Refused(AdmitOf(id_)), v1::REFUSAL_LEDGER);
  EXPECT_TRUE(absl::IsUnavailable(test_.Progress(TestLedger::ProgressOf(id_, 1)).status()));
  store_.set_unreachable(false);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());  // loads
  EXPECT_EQ(Granted(AdmitOf(id_)), 256u);
}

TEST_F(LedgerTest, AnOldLeaderIsRefusedEvenWhereItWritesNothing) {
  Start();
  Granted(AdmitOf(id_));
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  EXPECT_EQ(Refused(AdmitOf(id_)), v1::REFUSAL_LEDGER);  // would repeat a grant: no row changes
  EXPECT_TRUE(absl::IsFailedPrecondition(test_.ledger.Commit(9)));
  EXPECT_EQ(successor.Admit(AdmitOf(id_))->grant().positions(), 256u);
  EXPECT_EQ(*successor.Settle(TestLedger::SettleOf(id_, 3)), 1200);
}

// Found by the simulation: the old leader met an open row at a price version that it had never loaded.
TEST_F(LedgerTest, AnOldLeaderIsNotConfusedByItsSuccessorsRows) {
  Start();
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  successor.ledger.SetPrice("m", {.prompt = 1, .cached_prompt = 1, .completion = 2}, [](auto) {});
  ASSERT_TRUE(successor.Admit(AdmitOf(id_))->has_grant());
  EXPECT_EQ(Refused(AdmitOf(id_)), v1::REFUSAL_LEDGER);
  EXPECT_FALSE(test_.Settle(TestLedger::SettleOf(id_, 3)).ok());
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
}

TEST_F(LedgerTest, MemoryHoldsOpenRequestsOnly) {
  Start();
  Granted(AdmitOf(id_));
  test_.Settle(TestLedger::SettleOf(id_, 3)).IgnoreError();
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  EXPECT_EQ(*successor.Settle(TestLedger::SettleOf(id_, 9)), 1200);
  EXPECT_EQ(successor.ledger.counters().unbilled_positions, 6u);
}

// ---- the reaper ----

TEST_F(LedgerTest, TheReaperClosesWhatNobodyHeardOf) {
  Start();
  Granted(AdmitOf(id_));
  test_.Progress(TestLedger::ProgressOf(id_, 5)).IgnoreError();
  for (int64_t t = 0; t <= 15 * 60; t += 5) test_.ledger.AdvanceReaper(t * kSecond);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
  for (int64_t t = 15 * 60; t <= 15 * 60 + 15; t += 5) test_.ledger.AdvanceReaper(t * kSecond);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.requests().at(id_).reason, v1::SETTLE_REAPED);
  EXPECT_EQ(store_.entries().at(id_).amount_nano_usd, 10 * 75 + 5 * 150);
  EXPECT_EQ(test_.ledger.counters().reaped, 1u);
}

TEST_F(LedgerTest, APausedLeaderReapsNobodyWhenItWakes) {
  Start();
  Granted(AdmitOf(id_));
  test_.ledger.AdvanceReaper(0);
  test_.ledger.AdvanceReaper(3600 * kSecond);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
}

TEST_F(LedgerTest, WhoeverIsHeardOfIsNotReaped) {
  Start();
  Granted(AdmitOf(id_));
  const RequestId admitted_again = RequestId::Random();  // found by the simulation
  Granted(AdmitOf(admitted_again));
  for (int64_t t = 0; t <= 3600; t += 5) {
    test_.ledger.AdvanceReaper(t * kSecond);
    if (t % 600 != 0) continue;
    test_.Progress(TestLedger::ProgressOf(id_, 5)).IgnoreError();
    Granted(AdmitOf(admitted_again));
  }
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
  EXPECT_EQ(store_.requests().at(admitted_again).state, RequestState::kOpen);
}

// One that asks for no tokens: its prompt's echo is a position, which costs nothing beside the prompt.
TEST_F(LedgerTest, AnEchoAloneBillsThePromptOnce) {
  Start(/*cap=*/10 * 75);
  const auto granted = test_.Admit(AdmitOf(id_, 10, 0, 2));
  ASSERT_TRUE(granted.ok() && granted->has_grant()) << granted.status();
  EXPECT_EQ(granted->grant().positions(), 2u);
  EXPECT_EQ(granted->grant().price().completion_nano_usd(), 0);
  EXPECT_EQ(test_.Account().held_nano_usd, 10 * 75);
  EXPECT_EQ(Refused(AdmitOf(RequestId::Random(), 1, 0)), v1::REFUSAL_BUDGET);
  v1::SettleRequest settle =
      TestLedger::SettleOf(id_, 5);  // what it says above a position each counts for nothing
  settle.mutable_requests(0)->add_delivered()->set_choice(1);
  settle.mutable_requests(0)->mutable_delivered(1)->set_tokens(1);
  EXPECT_EQ(*test_.Settle(settle), 10 * 75);
  EXPECT_EQ(*test_.Settle(settle), 10 * 75);
  ASSERT_EQ(store_.entries().size(), 1u);
  EXPECT_EQ(store_.entries().at(id_).billed, (TokenCounts{.prompt = 10, .cached = 0, .completion = 0}));
  EXPECT_EQ(test_.Account().balance_nano_usd, 10 * 75);
  EXPECT_EQ(test_.Account().held_nano_usd, 0);
}

TEST_F(LedgerTest, AnEchoAloneThatWasNotDeliveredCostsNothing) {
  Start();
  ASSERT_EQ(Granted(AdmitOf(id_, 10, 0)), 1u);
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id_, 0, v1::SETTLE_CLIENT_GONE)), 0);
  EXPECT_TRUE(store_.entries().empty());
}

}  // namespace
}  // namespace quire::coordinator
