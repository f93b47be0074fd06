#include "coordinator/ledger/ledger_thread.h"

#include <gmock/gmock.h>

#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

class LedgerThreadTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(test_.Start().ok()); }

  MemoryStore store_;
  TestLedger test_{&store_};
  SystemClock clock_;
};

TEST_F(LedgerThreadTest, CallsFromManyThreadsAllGetTheirReply) {
  LedgerThread thread(&test_.ledger, &clock_, {});
  constexpr int kThreads = 4, kCalls = 50;
  std::vector<std::thread> callers;
  Mutex mutex;
  int granted = 0;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        thread.Admit(TestLedger::AdmitOf(RequestId::Random()), [&](absl::StatusOr<v1::AdmitReply> reply) {
          MutexLock lock(&mutex);
          granted += reply.ok() && reply->has_grant();
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  thread.Stop();
  EXPECT_EQ(granted, kThreads * kCalls);
  EXPECT_EQ(store_.requests().size(), static_cast<size_t>(kThreads * kCalls));
}

TEST_F(LedgerThreadTest, WhatWaitsIsOneTransaction) {
  Notification may_go;
  Notification started;
  LedgerThread thread(&test_.ledger, &clock_, {});
  ASSERT_TRUE(thread.Post([&](Ledger&) {
    started.Notify();
    may_go.WaitForNotification();
  }));
  started.WaitForNotification();
  const uint64_t before = store_.commits();
  for (int i = 0; i < 20; ++i) thread.Admit(TestLedger::AdmitOf(RequestId::Random()), [](auto) {});
  may_go.Notify();
  thread.Stop();
  EXPECT_EQ(store_.commits(), before + 1);
  EXPECT_EQ(store_.requests().size(), 20u);
}

TEST_F(LedgerThreadTest, AFullQueueRefusesAtOnce) {
  LedgerThreadOptions options;
  options.max_queued = 1;
  Notification may_go;
  Notification started;
  LedgerThread thread(&test_.ledger, &clock_, options);
  ASSERT_TRUE(thread.Post([&](Ledger&) {
    started.Notify();
    may_go.WaitForNotification();
  }));
  started.WaitForNotification();
  ASSERT_TRUE(thread.Post([](Ledger&) {}));
  EXPECT_FALSE(thread.Post([](Ledger&) {}));
  v1::RefusalReason refused = v1::REFUSAL_UNSPECIFIED;
  thread.Admit(TestLedger::AdmitOf(RequestId::Random()),
               [&](absl::StatusOr<v1::AdmitReply> reply) { refused = reply->refusal().reason(); });
  EXPECT_EQ(refused, v1::REFUSAL_LEDGER);
  absl::Status settle;
  thread.Settle(TestLedger::SettleOf(RequestId::Random(), 1),
                [&](absl::StatusOr<v1::SettleReply> reply) { settle = reply.status(); });
  EXPECT_TRUE(absl::IsResourceExhausted(settle));
  may_go.Notify();
}

TEST_F(LedgerThreadTest, ADeposedLeaderSaysSo) {
  absl::Status fatal;
  LedgerThreadOptions options;
  options.on_fatal = [&](const absl::Status& status) { fatal = status; };
  LedgerThread thread(&test_.ledger, &clock_, options);
  ASSERT_TRUE(store_.TakeOver().ok());
  thread.Admit(TestLedger::AdmitOf(RequestId::Random()), [](auto) {});
  thread.Stop();
  EXPECT_TRUE(absl::IsFailedPrecondition(fatal));
}

// While the disk is full the store is tried again only when the time has come, whatever is asked.
TEST_F(LedgerThreadTest, AFullDiskIsNoLoopOfLoadsAndTheServiceResumes) {
  ManualClock clock;
  LedgerThread thread(&test_.ledger, &clock, {});
  const auto settle = [&] {
    absl::Status status;
    Notification answered;
    thread.Settle(TestLedger::SettleOf(RequestId::Random(), 0), [&](absl::StatusOr<v1::SettleReply> reply) {
      status = reply.status();
      answered.Notify();
    });
    answered.WaitForNotification();
    return status;
  };
  const auto on_thread = [&](auto act) {
    Notification done;
    ASSERT_TRUE(thread.Post([&](Ledger&) {
      act();
      done.Notify();
    }));
    done.WaitForNotification();
  };
  on_thread([&] { store_.FailNextCommits(CommitFault::kDiskFull); });
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(settle().ok());
  uint64_t loads = 0;
  on_thread([&] { loads = store_.loads(); });
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(absl::IsUnavailable(settle()));
  on_thread([&] {
    EXPECT_EQ(store_.loads(), loads);
    store_.FailNextCommits(CommitFault::kNone);
  });
  clock.AdvanceUs(LedgerThread::kLastRetryUs);
  on_thread([] {});  // the commit after it loads
  EXPECT_TRUE(settle().ok());
  thread.Stop();
  EXPECT_EQ(store_.loads(), loads + 1);
}

}  // namespace
}  // namespace quire::coordinator
