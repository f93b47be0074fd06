#include "coordinator/api/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/api/ledger_news.h"
#include "coordinator/fleet/test_group_info.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

using testing::ElementsAre;

// Collects the events of one Admit.
class Events {
 public:
  Admission::AdmitSink Sink() {
    return [this](const absl::StatusOr<v1::AdmitReply>& event, bool last) {
      MutexLock lock(&mutex_);
      words_.push_back(!event.ok()              ? "error"
                       : event->has_placement() ? "placement"
                       : event->has_grant()     ? "grant"
                                                : v1::RefusalReason_Name(event->refusal().reason()));
      over_ = over_ || last;
    };
  }
  std::vector<std::string> WaitForLast() {
    MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&over_));
    return words_;
  }

 private:
  Mutex mutex_;
  std::vector<std::string> words_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
};

class AdmissionTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ledger_.TakeOver().ok());
    AddKey("key", "acme", 1'000'000);
    AddKey("poor", "poor", 100);
    const TokenPrice price{.version = 1, .prompt = 75, .cached_prompt = 75, .completion = 150};
    ledger_.SetPrice("tiny", price, [](auto) {});
    ASSERT_TRUE(ledger_.Commit(0).ok());
    v1::GroupInfo group = Group();
    ASSERT_TRUE(facts_.PutModel(group, 0).ok());
    ASSERT_TRUE(router_.Register(group).ok());
    thread_ = std::make_unique<LedgerThread>(&ledger_, &clock_, LedgerThreadOptions());
    admission_ = std::make_unique<Admission>(thread_.get(), &router_, &facts_, metrics_);
  }
  void TearDown() override {
    router_.Close();
    thread_->Stop();
  }

  LedgerOptions Options() {
    LedgerOptions options;
    options.on_news = [this](const LedgerBatch& news) { TellNews(news, router_, facts_); };
    return options;
  }
  // Runs on the ledger's thread, and waits until what it did is committed.
  void OnLedger(std::function<void(Ledger&)> act) {
    Notification committed;
    ASSERT_TRUE(thread_->Post([&](Ledger& ledger) {
      act(ledger);
      ledger.GetFacts([&](auto) { committed.Notify(); });
    }));
    committed.WaitForNotification();
  }
  void Reap() {
    for (int64_t pass = 0; pass < 16 * 12; ++pass) {
      OnLedger([&](Ledger& ledger) { ledger.AdvanceReaper((reaper_s_ += 5) * 1'000'000); });
    }
  }

  void AddKey(const std::string& id, const std::string& account, int64_t cap_nano_usd) {
    KeyRow key;
    key.id = id;
    key.hmac = std::string(32, 'h');
    key.account = account;
    ledger_.PutAccount(account, cap_nano_usd, [](auto) {});
    ledger_.CreateKey(key, [](auto) {});
  }
  static v1::GroupInfo Group(uint64_t epoch = 1) {
    return TestGroupInfo("g0", epoch, /*kv_blocks=*/100, /*context=*/1600);
  }
  static v1::AdmitRequest Request(const RequestId& id) {
    v1::AdmitRequest request;
    request.set_request_id(id.ToBytes());
    request.set_key_id("key");
    request.set_model("tiny");
    request.set_choices(1);
    request.set_prompt_tokens(100);
    request.set_max_tokens(1000);
    request.set_max_wait_ms(60'000);
    return request;
  }
  std::vector<std::string> Admit(const v1::AdmitRequest& request) {
    Events events;
    admission_->Admit(request, events.Sink());
    return events.WaitForLast();
  }
  // Of whatever the ledger does next.
  void FailNextCommit(CommitFault fault) {
    Notification set;
    ASSERT_TRUE(thread_->Post([&](Ledger&) {
      store_.FailNextCommit(fault);
      set.Notify();
    }));
    set.WaitForNotification();
  }
  v1::RefusalReason Readmit(const RequestId& id) {
    v1::ReadmitRequest request;
    request.set_request_id(id.ToBytes());
    request.set_model("tiny");
    v1::RefusalReason reason = v1::REFUSAL_UNSPECIFIED;
    Notification answered;
    admission_->Readmit(request, [&](const absl::StatusOr<v1::ReadmitReply>& reply) {
      reason = reply->refusal().reason();
      answered.Notify();
    });
    answered.WaitForNotification();
    return reason;
  }
  uint64_t ReservedBlocks() { return router_.Report().groups.at(0).reserved.blocks; }

  int64_t reaper_s_ = 0;
  ManualClock clock_;  // nothing ages
  Metrics metrics_;
  MemoryStore store_;
  SlowFacts facts_{"", "pepper"};
  Router router_{Router::Config(), clock_};
  Ledger ledger_{&store_, Options()};
  std::unique_ptr<LedgerThread> thread_;
  std::unique_ptr<Admission> admission_;
};

TEST_F(AdmissionTest, PlacesFirstThenGrants) {
  EXPECT_THAT(Admit(Request(RequestId::Random())), ElementsAre("placement", "grant"));
  EXPECT_EQ(ReservedBlocks(), 23u);  // 100 + 256 tokens
}

TEST_F(AdmissionTest, WhatCantBeAffordedIsNotEvenPlaced) {
  v1::AdmitRequest request = Request(RequestId::Random());
  request.set_key_id("poor");
  EXPECT_THAT(Admit(request), ElementsAre("REFUSAL_BUDGET"));
  EXPECT_EQ(ReservedBlocks(), 0u);
}

// Its own hold has taken the money.
TEST_F(AdmissionTest, AResentAdmitIsNotRefusedForItsOwnHold) {
  OnLedger([](Ledger& ledger) { ledger.PutAccount("acme", 100 * 75 + 256 * 150 + 1, [](auto) {}); });
  const v1::AdmitRequest request = Request(RequestId::Random());
  ASSERT_THAT(Admit(request), ElementsAre("placement", "grant"));
  EXPECT_THAT(Admit(request), ElementsAre("placement", "grant"));
  EXPECT_THAT(Admit(Request(RequestId::Random())), ElementsAre("REFUSAL_BUDGET"));
}

TEST_F(AdmissionTest, ARefusalOfTheLedgerGivesTheRoomBack) {
  ASSERT_THAT(Admit(Request(RequestId::Random())), ElementsAre("placement", "grant"));
  v1::AdmitRequest request = Request(RequestId::Random());
  OnLedger([](Ledger& ledger) { ledger.PutAccount("acme", 1, [](auto) {}); });
  facts_.PutAccount({.id = "acme", .cap_nano_usd = std::nullopt});  // what Admission knows is older
  EXPECT_THAT(Admit(request), ElementsAre("placement", "REFUSAL_BUDGET"));
  EXPECT_EQ(ReservedBlocks(), 23u);
}

TEST_F(AdmissionTest, AFullDiskGivesTheRoomBack) {
  FailNextCommit(CommitFault::kDiskFull);
  EXPECT_THAT(Admit(Request(RequestId::Random())), ElementsAre("placement", "REFUSAL_LEDGER"));
  EXPECT_EQ(ReservedBlocks(), 0u);
}

// The first Admit's hold stands, whatever becomes of the second.
TEST_F(AdmissionTest, ARefusedDuplicateLeavesALiveReservation) {
  const v1::AdmitRequest request = Request(RequestId::Random());
  ASSERT_THAT(Admit(request), ElementsAre("placement", "grant"));
  FailNextCommit(CommitFault::kDiskFull);
  EXPECT_THAT(Admit(request), ElementsAre("placement", "REFUSAL_LEDGER"));
  EXPECT_EQ(ReservedBlocks(), 23u);
  EXPECT_TRUE(router_.IsOpen(*RequestId::FromBytes(request.request_id())));
}

TEST_F(AdmissionTest, WhatTheReaperClosedIsNotReservedAndNotReadmitted) {
  const RequestId id = RequestId::Random();
  ASSERT_THAT(Admit(Request(id)), ElementsAre("placement", "grant"));
  Reap();
  EXPECT_EQ(ReservedBlocks(), 0u);
  EXPECT_EQ(router_.Report().open_requests, 0u);
  EXPECT_EQ(Readmit(id), v1::REFUSAL_CLOSED);
}

// A commit that failed as far as anybody was told, but stands.
TEST_F(AdmissionTest, WhatAnUnknownCommitReapedIsNotReservedEither) {
  ASSERT_THAT(Admit(Request(RequestId::Random())), ElementsAre("placement", "grant"));
  OnLedger([this](Ledger& ledger) {
    for (int64_t pass = 0; pass < 16 * 12; ++pass) ledger.AdvanceReaper((reaper_s_ += 5) * 1'000'000);
    store_.FailNextCommit(CommitFault::kUnknown);
  });
  OnLedger([](Ledger&) {});
  EXPECT_EQ(router_.Report().open_requests, 0u);
}

TEST_F(AdmissionTest, AReadmitThatWaitsIsRefusedWhenItsRequestIsClosed) {
  const RequestId id = RequestId::Random();
  ASSERT_THAT(Admit(Request(id)), ElementsAre("placement", "grant"));
  router_.Fence("g0", 2);  // its group is gone, and no other is there
  v1::ReadmitRequest request;
  request.set_request_id(id.ToBytes());
  request.set_model("tiny");
  request.set_max_wait_ms(60'000);
  v1::RefusalReason reason = v1::REFUSAL_UNSPECIFIED;
  Notification answered;
  admission_->Readmit(request, [&](const absl::StatusOr<v1::ReadmitReply>& reply) {
    reason = reply->refusal().reason();
    answered.Notify();
  });
  EXPECT_FALSE(answered.HasBeenNotified());
  Reap();
  answered.WaitForNotification();
  EXPECT_EQ(reason, v1::REFUSAL_CLOSED);
  ASSERT_TRUE(router_.Register(Group(2)).ok());
  EXPECT_EQ(router_.Report().open_requests, 0u);
}

TEST_F(AdmissionTest, AWaitingRequestIsAdmittedWhenAnotherSettles) {
  std::vector<RequestId> open;
  for (int i = 0; i < 4; ++i) {  // 4 x 23 of 100 blocks
    open.push_back(RequestId::Random());
    ASSERT_THAT(Admit(Request(open.back())), ElementsAre("placement", "grant"));
  }
  Events events;
  admission_->Admit(Request(RequestId::Random()), events.Sink());
  EXPECT_EQ(router_.Report().waiting, 1u);
  v1::SettleRequest settle;
  settle.add_requests()->set_request_id(open[0].ToBytes());
  settle.mutable_requests(0)->set_reason(v1::SETTLE_CLIENT_GONE);
  admission_->Settle(settle, [](auto) {});
  EXPECT_THAT(events.WaitForLast(), ElementsAre("placement", "grant"));
}

TEST_F(AdmissionTest, WhoGivesUpLeavesTheQueue) {
  for (int i = 0; i < 4; ++i) Admit(Request(RequestId::Random()));
  Events events;
  const RequestId id = RequestId::Random();
  const uint64_t ticket = admission_->Admit(Request(id), events.Sink());
  EXPECT_EQ(router_.Report().waiting, 1u);
  admission_->GiveUp(id, ticket);
  EXPECT_EQ(router_.Report().waiting, 0u);
}

TEST_F(AdmissionTest, AReadmitReservesTheRestAndLeavesWhenItIsGivenUp) {
  const RequestId id = RequestId::Random();
  ASSERT_THAT(Admit(Request(id)), ElementsAre("placement", "grant"));
  v1::GroupInfo next = Group();
  next.set_epoch(2);
  v1::ReadmitRequest readmit;
  readmit.set_request_id(id.ToBytes());
  readmit.set_model("tiny");
  readmit.set_key_id("key");
  readmit.set_prompt_tokens(100);
  readmit.set_tokens_so_far(100 + 900);
  readmit.set_max_tokens(1000);
  readmit.set_max_wait_ms(60'000);
  readmit.set_failed_group_id("g0");
  readmit.set_failed_group_epoch(1);
  int answers = 0;
  const auto sink = [&](const absl::StatusOr<v1::ReadmitReply>& reply) {
    ++answers;
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(reply->placement().group_epoch(), 2u);
  };
  const uint64_t ticket = admission_->Readmit(readmit, sink);
  EXPECT_EQ(router_.Report().waiting, 1u);
  admission_->GiveUp(id, ticket);
  EXPECT_EQ(router_.Report().waiting, 0u);
  ASSERT_TRUE(router_.Register(next).ok());
  EXPECT_EQ(answers, 0);
  admission_->Readmit(readmit, sink);
  EXPECT_EQ(answers, 1);
  EXPECT_EQ(ReservedBlocks(), 69u);  // 1100 tokens: what it has, and the 100 that are left
  readmit.set_tokens_so_far(99);
  admission_->Readmit(readmit,
                      [](const auto& reply) { EXPECT_TRUE(absl::IsInvalidArgument(reply.status())); });
}

TEST_F(AdmissionTest, ARevokedKeyIsToldBeforeAnyPlacement) {
  KeyRow revoked = *facts_.FindKey("key");
  revoked.revoked_ms = 1;
  facts_.PutKey(revoked);
  EXPECT_THAT(Admit(Request(RequestId::Random())), ElementsAre("REFUSAL_KEY"));
  EXPECT_EQ(ReservedBlocks(), 0u);
}

TEST_F(AdmissionTest, AProgressGrowsTheReservationAndAClosedRequestLosesIt) {
  const RequestId id = RequestId::Random();
  ASSERT_THAT(Admit(Request(id)), ElementsAre("placement", "grant"));
  auto progress = [&](uint64_t want) {
    v1::ProgressRequest request;
    request.add_requests()->set_request_id(id.ToBytes());
    request.mutable_requests(0)->set_want_positions(want);
    Notification replied;
    admission_->Progress(request, [&](auto) { replied.Notify(); });
    replied.WaitForNotification();
  };
  progress(512);
  EXPECT_EQ(ReservedBlocks(), 39u);
  // Settled by another gateway's word, say: the router learns it from the commit.
  v1::SettleRequest settle;
  settle.add_requests()->set_request_id(id.ToBytes());
  Notification settled;
  thread_->Settle(settle, [&](auto) { settled.Notify(); });
  settled.WaitForNotification();
  EXPECT_EQ(ReservedBlocks(), 0u);
}

}  // namespace
}  // namespace quire::coordinator
