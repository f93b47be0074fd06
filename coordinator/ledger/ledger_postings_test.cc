// Credits and reversals: what they let an account spend, and that saying one twice posts it once.
#include <gmock/gmock.h>

#include "coordinator/ledger/entry_id.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/memory_store.h"

namespace quire::coordinator {
namespace {

constexpr int64_t kPrompt = 10 * 75, kToken = 150;

class LedgerPostingsTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(test_.Start(/*cap=*/0).ok()); }
  bool Admitted(uint64_t max_tokens = 2) {
    const RequestId id = RequestId::Random();
    const auto reply = test_.Admit(TestLedger::AdmitOf(id, 10, max_tokens));
    if (!reply.ok() || !reply->has_grant()) return false;
    EXPECT_TRUE(test_.Settle(TestLedger::SettleOf(id, 0)).ok());
    return true;
  }
  RequestId Bill(uint64_t tokens) {
    const RequestId id = RequestId::Random();
    EXPECT_TRUE(test_.Admit(TestLedger::AdmitOf(id, 10, tokens))->has_grant());
    EXPECT_TRUE(test_.Settle(TestLedger::SettleOf(id, tokens)).ok());
    return id;
  }

  MemoryStore store_;
  TestLedger test_{&store_};
};

TEST_F(LedgerPostingsTest, ACreditCanBeSpentAndNothingBeyond) {
  EXPECT_FALSE(Admitted());
  const EntryRow entry = *test_.Credit({"acme", "payment 1", kPrompt + 2 * kToken, "by card"});
  EXPECT_EQ(entry.kind, EntryKind::kCredit);
  EXPECT_EQ(entry.amount_nano_usd, -(kPrompt + 2 * kToken));
  EXPECT_EQ(entry.note, "by card");
  EXPECT_EQ(test_.Account().balance_nano_usd, entry.amount_nano_usd);
  Bill(2);
  EXPECT_EQ(test_.Account().balance_nano_usd, 0);
  EXPECT_FALSE(Admitted());
}

TEST_F(LedgerPostingsTest, ACreditSaidAgainIsTheOneThatStands) {
  const Ledger::NewCredit credit{"acme", "payment 1", 100, "first"};
  absl::StatusOr<EntryRow> both[2] = {absl::UnknownError(""), absl::UnknownError("")};
  for (auto& reply : both)
    test_.ledger.Credit(credit, [&reply](absl::StatusOr<EntryRow> made) { reply = std::move(made); });
  ASSERT_TRUE(test_.ledger.Commit(9).ok());  // of one transaction
  EXPECT_EQ(*both[0], *both[1]);
  EXPECT_EQ(*test_.Credit({"acme", "payment 1", 100, "second"}), *both[0]);
  EXPECT_TRUE(absl::IsAlreadyExists(test_.Credit({"acme", "payment 1", 101, ""}).status()));
  EXPECT_EQ(test_.Account().balance_nano_usd, -100);
  ASSERT_TRUE(test_.Credit({"acme", "payment 2", 100, ""}).ok());
  EXPECT_EQ(test_.Account().balance_nano_usd, -200);
}

TEST_F(LedgerPostingsTest, CreditsOfNoAccountNoAmountOrTooMuchAreRefused) {
  EXPECT_TRUE(absl::IsNotFound(test_.Credit({"other", "r", 1, ""}).status()));
  for (const int64_t amount : {int64_t{0}, int64_t{-1}, INT64_MAX}) {
    EXPECT_TRUE(absl::IsInvalidArgument(test_.Credit({"acme", "r", amount, ""}).status()));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(test_.Credit({"acme", "", 1, ""}).status()));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(test_.Credit({"acme", std::to_string(i), Ledger::kMaxCreditNanoUsd, ""}).ok());
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(test_.Credit({"acme", "more", 1, ""}).status()));
  EXPECT_TRUE(Admitted());
}

TEST_F(LedgerPostingsTest, AUsageIsTakenBackOnce) {
  ASSERT_TRUE(test_.Credit({"acme", "payment 1", kPrompt + 2 * kToken, ""}).ok());
  const RequestId id = Bill(2);
  EXPECT_FALSE(Admitted());
  const EntryRow reversal = *test_.Reverse(id, "our fault");
  EXPECT_EQ(reversal.kind, EntryKind::kReversal);
  EXPECT_EQ(reversal.reverses, id);
  EXPECT_EQ(reversal.amount_nano_usd, -(kPrompt + 2 * kToken));
  EXPECT_EQ(reversal.model, "m");
  EXPECT_EQ(*test_.Reverse(id, "again"), reversal);
  EXPECT_EQ(test_.Account().balance_nano_usd, -(kPrompt + 2 * kToken));
  EXPECT_TRUE(Admitted());
  // What was posted for the request stays so.
  EXPECT_EQ(*test_.Settle(TestLedger::SettleOf(id, 2)), kPrompt + 2 * kToken);
}

TEST_F(LedgerPostingsTest, ACreditIsTakenBackAndAReversalIsNot) {
  const EntryRow credit = *test_.Credit({"acme", "payment 1", 100, ""});
  const EntryRow reversal = *test_.Reverse(credit.id);
  EXPECT_EQ(reversal.amount_nano_usd, 100);
  EXPECT_EQ(test_.Account().balance_nano_usd, 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(test_.Reverse(reversal.id).status()));
  EXPECT_TRUE(absl::IsNotFound(test_.Reverse(RequestId::Random()).status()));
}

TEST_F(LedgerPostingsTest, AFailedCommitPostsNothing) {
  store_.FailNextCommit(CommitFault::kDiskFull);
  EXPECT_FALSE(test_.Credit({"acme", "payment 1", 100, ""}).ok());
  EXPECT_EQ(test_.Account().balance_nano_usd, 0);
  store_.FailNextCommit(CommitFault::kUnknown);
  EXPECT_FALSE(test_.Credit({"acme", "payment 1", 100, ""}).ok());
  EXPECT_EQ(test_.Account().balance_nano_usd, -100);
  EXPECT_TRUE(test_.Credit({"acme", "payment 1", 100, ""}).ok());  // the caller asks again
  EXPECT_EQ(test_.Account().balance_nano_usd, -100);
  EXPECT_EQ(store_.entries().size(), 1u);
}

TEST(EntryIdTest, PartsAreKeptApart) {
  EXPECT_NE(CreditId("ab", "c"), CreditId("a", "bc"));
  EXPECT_NE(CreditId("a", "b"), EntryIdOf("reversal", "a", "b"));
  EXPECT_EQ(CreditId("a", "b"), CreditId("a", "b"));
}

}  // namespace
}  // namespace quire::coordinator
