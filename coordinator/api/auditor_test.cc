#include "coordinator/api/auditor.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {
namespace {

TEST(Auditor, SaysWhenTheBooksDisagree) {
  std::string folder = testing::TempDir() + "/quire_auditor_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/ledger.db";
  auto store = SqliteStore::Open(path);
  ASSERT_TRUE(store.ok());
  LedgerBatch batch;
  batch.term = *(*store)->TakeOver();
  batch.accounts.push_back({.id = "acme", .cap_nano_usd = {}, .balance_nano_usd = 7, .held_nano_usd = 0});
  ASSERT_TRUE((*store)->Commit(batch).ok());  // a balance without an entry
  auto reports = LedgerReports::Open(path);
  ASSERT_TRUE(reports.ok());
  Metrics metrics;
  const Auditor auditor(reports->get(), metrics, absl::Microseconds(1));
  while (metrics.Text().find("quire_coordinator_audit_findings 1\n") == std::string::npos)
    std::this_thread::yield();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace quire::coordinator
