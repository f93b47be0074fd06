// What becomes of a ledger whose store fails: for a while, for good, or for one request only.
#include <gmock/gmock.h>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSecondUs = 1'000'000;

class LedgerFailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(test_.Start().ok());
    for (const RequestId& id : {id_, other_}) ASSERT_TRUE(test_.Admit(TestLedger::AdmitOf(id))->has_grant());
  }
  LedgerOptions Options() {
    LedgerOptions options;
    options.on_news = [this](const LedgerBatch& news) {
      for (const RequestRow& row : news.requests) {
        if (row.state == RequestState::kClosed) closed_.push_back(row.id);
      }
      for (const KeyRow& key : news.keys) revoked_[key.id] = key.revoked_ms != 0;
      for (const AccountRow& account : news.accounts) balance_ = account.balance_nano_usd;
    };
    return options;
  }
  v1::SettleRequest SettleBoth() {
    v1::SettleRequest request = TestLedger::SettleOf(id_, 3);
    *request.add_requests() = TestLedger::SettleOf(other_, 3).requests(0);
    return request;
  }
  // The ids that were acknowledged.
  std::vector<RequestId> Settle(const v1::SettleRequest& request) {
    std::vector<RequestId> settled;
    const auto reply =
        test_.CommitFor<v1::SettleReply>([&](auto done) { test_.ledger.Settle(request, std::move(done)); });
    last_status_ = reply.status();
    if (!reply.ok()) return settled;
    for (const auto& result : reply->results()) settled.push_back(*RequestId::FromBytes(result.request_id()));
    return settled;
  }
  // An entry that the ledger knows nothing of: its own will violate the key.
  void Tamper(const RequestId& id) {
    LedgerBatch batch;
    batch.term = store_.term();
    batch.entries = {{.id = id,
                      .account = "acme",
                      .key_id = "key",
                      .model = "m",
                      .price_version = 1,
                      .billed = {},
                      .amount_nano_usd = 0}};
    ASSERT_TRUE(store_.Commit(batch).ok());
  }
  void Pass(int64_t seconds) {
    for (int64_t t = 0; t < seconds; t += 5) test_.ledger.AdvanceReaper((now_s_ += 5) * kSecondUs);
  }

  std::vector<RequestId> closed_;
  std::map<std::string, bool> revoked_;
  int64_t balance_ = 0;
  absl::Status last_status_;
  int64_t now_s_ = 0;
  MemoryStore store_;
  TestLedger test_{&store_, Options()};
  const RequestId id_ = RequestId::Random(), other_ = RequestId::Random();
};

// ---- news ----

TEST_F(LedgerFailureTest, WhateverClosesARequestIsToldOnce) {
  Settle(TestLedger::SettleOf(id_, 3));
  EXPECT_THAT(closed_, ElementsAre(id_));
  Settle(TestLedger::SettleOf(id_, 3));  // a resend closes nothing
  EXPECT_THAT(closed_, ElementsAre(id_));
  const RequestId unknown = RequestId::Random();
  Settle(TestLedger::SettleOf(unknown, 0, v1::SETTLE_ABANDONED));
  EXPECT_THAT(closed_, ElementsAre(id_, unknown));
  Pass(16 * 60);
  EXPECT_EQ(closed_.size(), 2u);  // nothing is told before it stands
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_THAT(closed_, ElementsAre(id_, unknown, other_));
}

TEST_F(LedgerFailureTest, WhatAnUnknownCommitClosedIsToldAfterTheLoad) {
  store_.FailNextCommit(CommitFault::kUnknown);
  EXPECT_THAT(Settle(TestLedger::SettleOf(id_, 3)), IsEmpty());
  EXPECT_THAT(closed_, ElementsAre(id_));
  EXPECT_EQ(balance_, 1200);
}

TEST_F(LedgerFailureTest, ARequestThatNeverCameToBeIsToldAsClosed) {
  const RequestId refused = RequestId::Random();
  store_.FailNextCommit(CommitFault::kDiskFull);
  EXPECT_TRUE(test_.Admit(TestLedger::AdmitOf(refused))->has_refusal());
  EXPECT_THAT(closed_, ElementsAre(refused));
}

TEST_F(LedgerFailureTest, ARevocationIsToldThoughItsCallerHeardOfAnError) {
  store_.FailNextCommit(CommitFault::kUnknown);
  absl::Status heard;
  test_.ledger.RevokeKey("key", 7, [&](absl::StatusOr<KeyRow> row) { heard = row.status(); });
  test_.ledger.Commit(9).IgnoreError();
  EXPECT_TRUE(absl::IsUnavailable(heard));
  EXPECT_TRUE(revoked_["key"]);
}

// ---- one request's trouble ----

TEST_F(LedgerFailureTest, AMalformedIdHoldsNobodyUp) {
  v1::SettleRequest request = SettleBoth();
  request.mutable_requests(0)->set_request_id("short");
  EXPECT_THAT(Settle(request), ElementsAre(other_));
  v1::ProgressRequest progress = TestLedger::ProgressOf(id_, 1);
  progress.add_requests()->set_request_id("short");
  EXPECT_EQ(test_.Progress(progress)->granted_positions(), 256u);
}

TEST_F(LedgerFailureTest, ALookUpThatFailsHoldsNobodyUp) {
  const RequestId closed = RequestId::Random();
  store_.FailFindOf(closed, absl::UnavailableError("busy"));
  v1::SettleRequest request = SettleBoth();
  *request.add_requests() = TestLedger::SettleOf(closed, 1).requests(0);
  EXPECT_THAT(Settle(request), ElementsAre(id_, other_));
  EXPECT_THAT(Settle(TestLedger::SettleOf(closed, 1)), IsEmpty());
  EXPECT_TRUE(absl::IsUnavailable(last_status_));
}

TEST_F(LedgerFailureTest, ALookUpThatFindsABrokenDiskIsTheEnd) {
  const RequestId closed = RequestId::Random();
  store_.FailFindOf(closed, absl::DataLossError("a damaged page"));
  v1::SettleRequest request = SettleBoth();
  *request.add_requests() = TestLedger::SettleOf(closed, 1).requests(0);
  absl::Status answered;
  test_.ledger.Settle(request, [&](absl::StatusOr<v1::SettleReply> reply) { answered = reply.status(); });
  EXPECT_TRUE(absl::IsDataLoss(test_.ledger.Commit(9)));
  EXPECT_TRUE(absl::IsDataLoss(answered));
  EXPECT_TRUE(absl::IsFailedPrecondition(test_.ledger.Commit(9)));  // for good
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
}

// As somebody's hand may leave them. The ledger goes on with all others.
TEST_F(LedgerFailureTest, OpenRowsThatMakeNoSenseAreSetAside) {
  const RequestRow good = store_.requests().at(id_);
  const std::vector<std::function<void(RequestRow&)>> tampers = {
      [](RequestRow& row) { row.price_version = 7; },
      [](RequestRow& row) { row.price_version = 0; },
      [](RequestRow& row) { row.model = "unpriced"; },
      [](RequestRow& row) { row.account = "nobody"; },
      [](RequestRow& row) { row.account = ""; },
      [](RequestRow& row) { row.choices = 0; },
      [](RequestRow& row) { row.max_tokens = UINT64_MAX; },
      [](RequestRow& row) { row.prompt_tokens = UINT64_MAX; },
      [](RequestRow& row) { row.granted = UINT64_MAX; },
      [](RequestRow& row) { row.cached_tokens = 11; },
      [](RequestRow& row) { row.delivered[0] = UINT64_MAX; }};
  for (const auto& tamper : tampers) {
    LedgerBatch batch;
    batch.term = store_.term();
    batch.requests = {good};
    tamper(batch.requests[0]);
    ASSERT_TRUE(store_.Commit(batch).ok());
    TestLedger successor(&store_);
    ASSERT_TRUE(successor.ledger.TakeOver().ok());
    EXPECT_EQ(successor.ledger.counters().set_aside, 1u);
    EXPECT_EQ(successor.Progress(TestLedger::ProgressOf(other_, 1))->granted_positions(), 256u);
    EXPECT_TRUE(absl::IsInternal(successor.Progress(TestLedger::ProgressOf(id_, 1)).status()));
    EXPECT_TRUE(absl::IsInternal(successor.Settle(TestLedger::SettleOf(id_, 1)).status()));
    EXPECT_EQ(successor.Admit(TestLedger::AdmitOf(id_))->refusal().reason(), v1::REFUSAL_LEDGER);
    EXPECT_TRUE(successor.ledger.Commit(9).ok());
    batch.term = store_.term();
    batch.requests = {good};
    ASSERT_TRUE(store_.Commit(batch).ok());
  }
}

TEST_F(LedgerFailureTest, AKeyWithoutAnAccountOpensNothing) {
  LedgerBatch batch;
  batch.term = store_.term();
  batch.keys = {TestLedger::TestKey("stray")};
  batch.keys[0].account = "nobody";
  ASSERT_TRUE(store_.Commit(batch).ok());
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  v1::AdmitRequest request = TestLedger::AdmitOf(RequestId::Random());
  request.set_key_id("stray");
  EXPECT_EQ(successor.Admit(request)->refusal().reason(), v1::REFUSAL_KEY);
}

// A hole among a model's versions moves no other version's price.
TEST_F(LedgerFailureTest, EachPriceIsFoundByItsVersion) {
  LedgerBatch batch;
  batch.term = store_.term();
  batch.prices = {{"m", {.version = 5, .prompt = 1, .cached_prompt = 1, .completion = 1}}};
  ASSERT_TRUE(store_.Commit(batch).ok());
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  const RequestId next = RequestId::Random();
  EXPECT_EQ(successor.Admit(TestLedger::AdmitOf(next))->grant().price().version(), 5u);
  EXPECT_EQ(*successor.Settle(TestLedger::SettleOf(next, 3)), 13);
  EXPECT_EQ(*successor.Settle(TestLedger::SettleOf(id_, 3)), 1200);
}

TEST_F(LedgerFailureTest, WhatTheStoreRefusesAsABugFailsAlone) {
  Tamper(id_);
  EXPECT_THAT(Settle(SettleBoth()), IsEmpty());
  EXPECT_TRUE(absl::IsInternal(last_status_));
  EXPECT_THAT(Settle(SettleBoth()), ElementsAre(other_));
  EXPECT_EQ(test_.ledger.counters().set_aside, 1u);
  const uint64_t loads = store_.loads();
  EXPECT_THAT(Settle(SettleBoth()), ElementsAre(other_));
  EXPECT_EQ(store_.loads(), loads);  // it is not tried for ever
  const RequestId next = RequestId::Random();
  EXPECT_TRUE(test_.Admit(TestLedger::AdmitOf(next))->has_grant());
}

TEST_F(LedgerFailureTest, TheReaperTooGoesRoundWhatTheStoreRefuses) {
  ASSERT_TRUE(test_.Progress(TestLedger::ProgressOf(id_, 1)).ok());  // or there were nothing to post
  Tamper(id_);
  Pass(16 * 60);
  EXPECT_TRUE(absl::IsInternal(test_.ledger.Commit(9)));
  Pass(5);
  test_.ledger.Commit(9).IgnoreError();
  EXPECT_EQ(store_.requests().at(other_).reason, v1::SETTLE_REAPED);
  EXPECT_EQ(store_.requests().at(id_).state, RequestState::kOpen);
  const uint64_t failed = test_.ledger.counters().failed_commits;
  Pass(60);
  EXPECT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(test_.ledger.counters().failed_commits, failed);
}

TEST_F(LedgerFailureTest, ADeposedLeaderAnswersNobodyOneByOneEither) {
  Tamper(id_);
  Settle(SettleBoth());
  ASSERT_TRUE(test_.ledger.careful());
  ASSERT_TRUE(store_.TakeOver().ok());
  absl::StatusOr<v1::ProgressReply> answer = v1::ProgressReply();
  test_.ledger.Progress(TestLedger::ProgressOf(RequestId::Random(), 1),  // writes nothing
                        [&](absl::StatusOr<v1::ProgressReply> reply) { answer = std::move(reply); });
  EXPECT_TRUE(absl::IsFailedPrecondition(answer.status()));
}

// A store whose rows can't be read any more.
class RottenStore final : public LedgerStore {
 public:
  explicit RottenStore(LedgerStore* store) : store_(store) {}
  absl::StatusOr<uint64_t> TakeOver() override { return store_->TakeOver(); }
  absl::StatusOr<LedgerState> Load() override {
    if (rotten) return absl::DataLossError("a damaged page");
    return store_->Load();
  }
  absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) override { return store_->Find(id); }
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) override {
    return store_->FindEntry(id);
  }
  absl::Status Commit(const LedgerBatch& batch) override { return store_->Commit(batch); }
  bool rotten = false;

 private:
  LedgerStore* const store_;
};

TEST_F(LedgerFailureTest, ALoadThatFindsABrokenDiskIsTheEndAndSaysSo) {
  RottenStore rotten(&store_);
  TestLedger test(&rotten);
  ASSERT_TRUE(test.ledger.TakeOver().ok());
  rotten.rotten = true;
  store_.FailNextCommit(CommitFault::kDiskFull);
  test.ledger.Settle(TestLedger::SettleOf(id_, 3), [](auto) {});
  EXPECT_TRUE(absl::IsDataLoss(test.ledger.Commit(9)));
  EXPECT_TRUE(absl::IsFailedPrecondition(test.ledger.Commit(9)));
}

// ---- a disk that is full for long ----

TEST_F(LedgerFailureTest, ASecondFailureLoadsNothingUntilItIsAsked) {
  const uint64_t loads = store_.loads();
  for (int i = 0; i < 2; ++i) {
    store_.FailNextCommit(CommitFault::kDiskFull);
    EXPECT_THAT(Settle(SettleBoth()), IsEmpty());
  }
  EXPECT_EQ(store_.loads(), loads + 1);
  EXPECT_EQ(test_.ledger.failures_in_a_row(), 2);
  EXPECT_FALSE(test_.ledger.loaded());
  ASSERT_TRUE(test_.ledger.Commit(9).ok());  // loads
  EXPECT_THAT(Settle(SettleBoth()), UnorderedElementsAre(id_, other_));
  EXPECT_EQ(test_.ledger.failures_in_a_row(), 0);
}

TEST_F(LedgerFailureTest, FailedCommitsDoNotResetTheReaper) {
  for (int minute = 0; minute < 16; ++minute) {
    Pass(60);
    store_.FailNextCommit(CommitFault::kDiskFull);
    Settle(TestLedger::SettleOf(other_, 1));
    test_.ledger.Commit(9).IgnoreError();
  }
  Pass(30);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.requests().at(id_).reason, v1::SETTLE_REAPED);
  EXPECT_EQ(store_.requests().at(other_).state, RequestState::kOpen);  // it was heard of, though in vain
}

TEST_F(LedgerFailureTest, WhoIsHeardOfWhileNothingIsLoadedIsNotReaped) {
  store_.set_unreachable(true);
  Settle(SettleBoth());
  ASSERT_FALSE(test_.ledger.loaded());
  for (int minute = 0; minute < 30; ++minute) {
    Pass(60);
    EXPECT_THAT(Settle(TestLedger::SettleOf(other_, 3)), IsEmpty());
  }
  store_.set_unreachable(false);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());  // loads
  Pass(5);
  ASSERT_TRUE(test_.ledger.Commit(9).ok());
  EXPECT_EQ(store_.requests().at(id_).reason, v1::SETTLE_REAPED);
  EXPECT_THAT(Settle(TestLedger::SettleOf(other_, 3)), ElementsAre(other_));
  EXPECT_EQ(store_.entries().at(other_).amount_nano_usd, 1200);
}

// ---- the wall clock ----

TEST_F(LedgerFailureTest, PostingsDoNotFollowAClockThatStepsBack) {
  EXPECT_TRUE(test_.ledger.Commit(5'000'000).ok());
  Settle(TestLedger::SettleOf(id_, 3));  // its time is far less
  EXPECT_EQ(store_.Load()->last_closed_ms, 5'000'000);
  TestLedger successor(&store_);
  ASSERT_TRUE(successor.ledger.TakeOver().ok());
  EXPECT_TRUE(successor.Settle(TestLedger::SettleOf(other_, 3)).ok());
  EXPECT_EQ(store_.Load()->last_closed_ms, 5'000'000);
}

}  // namespace
}  // namespace quire::coordinator
