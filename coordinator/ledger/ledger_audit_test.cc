// The reconciliation over a real file: what it finds, and that it looks at each entry once.
#include "coordinator/ledger/ledger_audit.h"

#include <gmock/gmock.h>
#include <sqlite3.h>

#include <filesystem>

#include "coordinator/ledger/ledger_reports.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/sqlite.h"
#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class LedgerAuditTest : public ::testing::Test {
 protected:
  LedgerAuditTest() : folder_(::testing::TempDir() + "ledger_audit_test_" + RequestId::Random().ToHex()) {
    std::filesystem::create_directory(folder_);
  }
  ~LedgerAuditTest() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/ledger.db"; }
  static void Bill(TestLedger& test, uint64_t delivered, uint64_t max_tokens = 1000) {
    const RequestId id = RequestId::Random();
    EXPECT_TRUE(test.Admit(TestLedger::AdmitOf(id, 10, max_tokens))->has_grant());
    EXPECT_TRUE(test.Settle(TestLedger::SettleOf(id, delivered)).ok());
  }
  // One pass, and how many pieces it took.
  static AuditReport Pass(LedgerAudit& audit, int* pieces = nullptr) {
    for (int i = 1;; ++i) {
      const auto piece = audit.AuditNews();
      if (!piece.ok() || *piece) {
        EXPECT_TRUE(piece.ok()) << piece.status();
        if (pieces != nullptr) *pieces = i;
        return **piece;
      }
    }
  }
  void Tamper(const char* sql) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(Path().c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
  }

  const std::string folder_;
};

TEST_F(LedgerAuditTest, GoesOverEachEntryOnceAndOverTheAccountsEachTime) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadOnly);
  LedgerAudit audit(database.get(), /*piece=*/3);
  EXPECT_EQ(Pass(audit).entries, 0u);
  Bill(test, 3);
  for (int i = 1; i < 10; ++i) Bill(test, 3);
  int pieces = 0;
  AuditReport report = Pass(audit, &pieces);
  EXPECT_GE(pieces, 3);
  EXPECT_EQ(report.entries, 10u);
  EXPECT_EQ(report.posted_nano_usd, 10 * 1200);
  EXPECT_THAT(report.findings, IsEmpty());
  // What was looked at is not looked at again; what comes is.
  Tamper("UPDATE delivered SET tokens = 4");
  Bill(test, 3);
  report = Pass(audit, &pieces);
  EXPECT_EQ(pieces, 1);
  EXPECT_EQ(report.entries, 11u);
  EXPECT_THAT(report.findings, ElementsAre(HasSubstr("posted 1200 for 4")));  // of the last millisecond
  LedgerAudit whole(database.get(), 3);
  EXPECT_EQ(Pass(whole).findings.size(), 10u);
  EXPECT_EQ(Pass(whole).findings.size(), 10u);  // it goes on saying so
}

TEST_F(LedgerAuditTest, EntriesOfTheSameMillisecondAreAllCounted) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  ASSERT_TRUE(test.ledger.Commit(1'000'000).ok());  // the clock stands still from here
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadOnly);
  LedgerAudit audit(database.get(), /*piece=*/2);
  for (uint64_t i = 1; i < 12; ++i) {
    Bill(test, 3);
    const AuditReport report = Pass(audit);
    EXPECT_EQ(report.entries, i);
    EXPECT_THAT(report.findings, IsEmpty());
  }
}

TEST_F(LedgerAuditTest, AuditFindsWhatDoesNotAddUp) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  const RequestId closed = RequestId::Random();
  for (const RequestId& id : {closed, RequestId::Random()}) {
    ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());
  }
  ASSERT_TRUE(test.Settle(TestLedger::SettleOf(closed, 3)).ok());

  auto reports = *LedgerReports::Open(Path());
  const AuditReport clean = *reports->Audit();
  EXPECT_THAT(clean.findings, IsEmpty());
  EXPECT_EQ(clean.open_requests, 1u);
  EXPECT_EQ(clean.entries, 1u);
  EXPECT_EQ(clean.posted_nano_usd, 1200);

  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &connection), SQLITE_OK);
  EXPECT_NE(sqlite3_exec(connection, "UPDATE entry SET amount = 1", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_exec(
      connection,
      "UPDATE account SET balance = balance + 1, held = held - 1; DELETE FROM outbox;"
      "UPDATE delivered SET tokens = 4;"
      "INSERT INTO request SELECT x'01', account, key_id, model, price_version, 1, choices, max_tokens,"
      " prompt_tokens, NULL, granted, 5, 1, NULL FROM request LIMIT 1;"
      "INSERT INTO delivered VALUES (x'01', 0, 1)",
      nullptr, nullptr, nullptr);
  sqlite3_close(connection);
  EXPECT_THAT(reports->Audit()->findings,
              UnorderedElementsAre(HasSubstr("balance 1201, but its entries sum to 1200"), HasSubstr("held"),
                                   HasSubstr("posted 1200 for 4 delivered"), HasSubstr("outbox"),
                                   HasSubstr("request 01: closed, but still holds 5"),
                                   HasSubstr("request 01: posted nothing")));
}

TEST_F(LedgerAuditTest, CreditsAndReversalsAddUp) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());
  ASSERT_TRUE(test.Settle(TestLedger::SettleOf(id, 3)).ok());
  ASSERT_TRUE(test.Credit({"acme", "payment 1", 5000, "paid"}).ok());
  ASSERT_TRUE(test.Reverse(id).ok());
  auto reports = *LedgerReports::Open(Path());
  AuditReport report = *reports->Audit();
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.entries, 3u);
  EXPECT_EQ(report.posted_nano_usd, -5000);
  const std::vector<UsageRow> usage = *reports->Usage({});
  ASSERT_EQ(usage.size(), 1u);
  EXPECT_EQ(usage[0].requests, 1u);
  EXPECT_EQ(usage[0].cost_nano_usd, 1200);
  EXPECT_EQ(usage[0].reversed_nano_usd, 1200);

  Tamper(
      "DROP TRIGGER entry_stands; UPDATE entry SET amount = amount + 1 WHERE kind = 1;"
      "UPDATE entry SET amount = 1 WHERE kind = 2; UPDATE account SET balance = 2");
  EXPECT_THAT(reports->Audit()->findings,
              UnorderedElementsAre(HasSubstr("takes back what is not there, or not all of it"),
                                   HasSubstr("a credit of -1")));
}

TEST_F(LedgerAuditTest, EntriesAreListedInTheOrderOfTheirPostingPageByPage) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  ASSERT_TRUE(test.ledger.Commit(1'000'000).ok());  // the clock stands still from here: five of one moment
  for (uint64_t tokens = 1; tokens < 5; ++tokens) Bill(test, tokens);
  ASSERT_TRUE(test.Credit({"acme", "payment 1", 5000, "paid"}).ok());
  test.unix_ms = 2'000'000;
  Bill(test, 5);
  auto reports = *LedgerReports::Open(Path());
  const std::vector<PostedEntry> all = *reports->Entries({});
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all.back().closed_ms, 2'000'002);
  EXPECT_EQ(all.back().entry.billed.completion, 5u);
  std::vector<EntryRow> paged;
  EntriesQuery query{.limit = 2};
  while (true) {
    const std::vector<PostedEntry> page = *reports->Entries(query);
    if (page.empty()) break;
    for (const PostedEntry& posted : page) paged.push_back(posted.entry);
    query.after = page.back().entry.id;
  }
  ASSERT_EQ(paged.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(paged[i], all[i].entry);
  EXPECT_EQ(reports->Entries({.to_ms = 2'000'000})->size(), 5u);
  EXPECT_EQ(reports->Entries({.from_ms = 2'000'000})->size(), 1u);
  EXPECT_EQ(reports->Entries({.account = "acme"})->size(), 6u);
  EXPECT_EQ(reports->Entries({.account = "other"})->size(), 0u);
  EXPECT_TRUE(absl::IsNotFound(reports->Entries({.after = RequestId::Random()}).status()));
}

TEST_F(LedgerAuditTest, KnowsWhatAnEchoAloneCosts) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadOnly);
  LedgerAudit audit(database.get(), /*piece=*/3);
  Bill(test, 1, /*max_tokens=*/0);
  const AuditReport report = Pass(audit);
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.posted_nano_usd, 10 * 75);
  Tamper("UPDATE request SET max_tokens = 1");
  LedgerAudit again(database.get(), /*piece=*/3);
  EXPECT_THAT(Pass(again).findings, ElementsAre(HasSubstr("posted 750 for 1 delivered positions")));
}

}  // namespace
}  // namespace quire::coordinator
