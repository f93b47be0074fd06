// What only SQLite can get wrong: disks that fill or fail, processes that are killed, and the sums over its
// rows.
#include "coordinator/ledger/sqlite_store.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "coordinator/ledger/blob_store.h"
#include "coordinator/ledger/ledger_reports.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/sqlite.h"
#include "coordinator/ledger/sqlite_schema.h"

namespace quire::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest() : folder_(::testing::TempDir() + "sqlite_store_test_" + RequestId::Random().ToHex()) {
    std::filesystem::create_directory(folder_);
  }
  ~SqliteStoreTest() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/ledger.db"; }

  const std::string folder_;
};

// Counts the statements of connections that are opened while it lives.
class StatementCount {
 public:
  StatementCount() { sqlite3_auto_extension(reinterpret_cast<void (*)()>(&Trace)); }
  ~StatementCount() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&Trace)); }
  // Since the last call.
  int Take() { return std::exchange(begun_, 0); }

 private:
  static int Trace(sqlite3* connection, const char**, const sqlite3_api_routines*) {
    const auto count = [](unsigned, void*, void*, void*) {
      ++begun_;
      return 0;
    };
    return sqlite3_trace_v2(connection, SQLITE_TRACE_STMT, count, nullptr);
  }

  static inline int begun_ = 0;
};

// C8: so a commit that fails, after which all is loaded anew, costs no more the more requests are open.
TEST_F(SqliteStoreTest, LoadingTakesAsManyQueriesHoweverManyRequestsAreOpen) {
  StatementCount statements;
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  std::vector<int> queries;
  for (const int open : {1, 200}) {
    for (int i = 0; i < open; ++i) ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(RequestId::Random())).ok());
    statements.Take();
    ASSERT_TRUE(test.ledger.TakeOver().ok());
    queries.push_back(statements.Take());
  }
  EXPECT_GT(queries[0], 4);  // they were seen
  EXPECT_EQ(queries[0], queries[1]);
  EXPECT_EQ((*store->Load()).open_requests.size(), 201u);
}

TEST_F(SqliteStoreTest, BrokenAndForeignFilesAreRefused) {
  { std::unique_ptr<SqliteStore> store = *SqliteStore::Open(Path()); }
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &connection), SQLITE_OK);
  sqlite3_exec(connection, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
  sqlite3_close(connection);
  EXPECT_THAT(std::string(SqliteStore::Open(Path()).status().message()), HasSubstr("newer Quire"));
  EXPECT_FALSE(SqliteStore::Open(folder_ + "/missing/ledger.db").ok());
  const std::string garbage = folder_ + "/garbage.db";
  FILE* file = fopen(garbage.c_str(), "w");
  for (int i = 0; i < 1000; ++i) fputs("not a database", file);
  fclose(file);
  EXPECT_TRUE(absl::IsDataLoss(SqliteStore::Open(garbage).status()));
}

// A file of the first release: what stood stands, and shut doors of no account are forgotten.
TEST_F(SqliteStoreTest, AnOlderFileIsBroughtUpToDate) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open(Path().c_str(), &connection), SQLITE_OK);
  const std::string old =
      std::string(kLedgerSchema1) +
      "INSERT INTO request VALUES (x'000102030405060708090a0b0c0d0e0f', '', '', '', 0, 1, 0, 0, 0,"
      " NULL, 0, 0, 7), (x'100102030405060708090a0b0c0d0e0f', 'acme', 'key', 'm', 1, 1, 1, 9, 9,"
      " NULL, 9, 0, 1); PRAGMA user_version = 1";
  ASSERT_EQ(sqlite3_exec(connection, old.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(connection);
  auto store = *SqliteStore::Open(Path());
  const RequestId shut = *RequestId::FromBytes(
      std::string("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16));
  RequestId billed = shut;
  billed.bytes[0] = 0x10;
  EXPECT_TRUE((*store->Find(shut))->row.forgettable);
  LedgerBatch batch;
  batch.term = *store->TakeOver();
  batch.forget_before_ms = 1;
  batch.forget_most = 10;
  ASSERT_TRUE(store->Commit(batch).ok());
  EXPECT_FALSE(store->Find(shut)->has_value());
  EXPECT_TRUE(store->Find(billed)->has_value());
  store.reset();
  EXPECT_TRUE(SqliteStore::Open(Path()).ok());
}

TEST_F(SqliteStoreTest, TheFileIsPrivate) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  for (const char* end : {"", "-wal"}) {
    struct stat info {};
    ASSERT_EQ(stat((Path() + end).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
}

// ---- kill -9 ----

// What a child says of each request once the ledger has acknowledged it; written whole (it is below
// PIPE_BUF).
struct Acknowledged {
  RequestId id;
  bool closed;
  int64_t amount;
};

// Admits and settles for ever, reporting each acknowledgement. Runs in a child process that is killed.
[[noreturn]] void Serve(const std::string& path, int pipe) {
  auto store = SqliteStore::Open(path);
  if (!store.ok()) _exit(3);
  TestLedger test(store->get());
  if (!test.ledger.TakeOver().ok()) _exit(4);
  const auto report = [pipe](Acknowledged what) {
    if (write(pipe, &what, sizeof what) != sizeof what) _exit(5);
  };
  for (int64_t now = 1;; ++now) {
    std::vector<RequestId> ids(8);
    for (RequestId& id : ids) {
      id = RequestId::Random();
      test.ledger.Admit(TestLedger::AdmitOf(id), [&report, id](absl::StatusOr<v1::AdmitReply> reply) {
        if (reply.ok() && reply->has_grant()) report({id, false, 0});
      });
    }
    if (!test.ledger.Commit(now).ok()) _exit(6);
    for (size_t i = 0; i < ids.size(); i += 2) {
      test.ledger.Settle(TestLedger::SettleOf(ids[i], i + 1), [&report, id = ids[i]](auto reply) {
        if (reply.ok()) report({id, true, reply->results(0).amount_nano_usd()});
      });
    }
    if (!test.ledger.Commit(now).ok()) _exit(6);
  }
}

// Starts Serve, kills it after it has acknowledged `acknowledgements` things, and returns all that it said.
std::vector<Acknowledged> ServeAndKill(const std::string& path, int acknowledgements) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) Serve(path, ends[1]);
  close(ends[1]);
  std::vector<Acknowledged> said;
  Acknowledged one;
  while (read(ends[0], &one, sizeof one) == sizeof one) {
    said.push_back(one);
    if (static_cast<int>(said.size()) == acknowledgements) kill(child, SIGKILL);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
  return said;
}

TEST_F(SqliteStoreTest, KilledAtAnyMomentNothingAcknowledgedIsMissing) {
  {
    auto store = *SqliteStore::Open(Path());
    TestLedger test(store.get());
    ASSERT_TRUE(test.Start().ok());
  }
  std::mt19937 random(7);
  for (int kill_number = 0; kill_number < 20; ++kill_number) {
    std::map<RequestId, Acknowledged> last;
    for (const Acknowledged& one : ServeAndKill(Path(), static_cast<int>(1 + random() % 200)))
      last[one.id] = one;
    auto store = *SqliteStore::Open(Path());
    for (const auto& [id, one] : last) {
      const auto found = *store->Find(id);
      ASSERT_TRUE(found.has_value());
      if (!one.closed) continue;
      EXPECT_EQ(found->row.state, RequestState::kClosed);
      EXPECT_EQ(found->posted_nano_usd, one.amount);
    }
    EXPECT_THAT((*LedgerReports::Open(Path()))->Audit()->findings, IsEmpty());
  }
}

// ---- reports ----

TEST_F(SqliteStoreTest, UsageIsTheSumOfEntries) {
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  constexpr int64_t kHour = 3'600'000;
  test.unix_ms = kHour;
  for (const uint64_t delivered : {3, 0, 5}) {
    const RequestId id = RequestId::Random();
    ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());
    ASSERT_TRUE(test.Settle(TestLedger::SettleOf(id, delivered, v1::SETTLE_COMPLETED, 4)).ok());
    if (delivered == 0) test.unix_ms = 2 * kHour;
  }
  auto reports = *LedgerReports::Open(Path());
  const auto all = *reports->Usage({});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].key_id, "key");
  EXPECT_EQ(all[0].requests, 2u);  // those that delivered something
  EXPECT_EQ(all[0].prompt_tokens, 20u);
  EXPECT_EQ(all[0].cached_tokens, 8u);
  EXPECT_EQ(all[0].completion_tokens, 8u);
  EXPECT_EQ(all[0].cost_nano_usd, 2 * (6 * 75 + 4 * 25) + 8 * 150);

  std::vector<int64_t> hours;
  const std::vector<UsageRow> by_hour = *reports->Usage({.by_hour = true});
  for (const UsageRow& row : by_hour) hours.push_back(row.hour_ms);
  EXPECT_THAT(hours, ElementsAre(kHour, 2 * kHour));
  EXPECT_THAT(*reports->Usage({.account = "other"}), IsEmpty());
  EXPECT_EQ((*reports->Usage({.from_ms = 2 * kHour}))[0].completion_tokens, 5u);
}

// ---- blobs ----

TEST_F(SqliteStoreTest, BlobsAreKeptByDigest) {
  const std::string bytes(3'000'000, 'x');
  Digest digest;
  {
    auto blobs = *BlobStore::Open(folder_ + "/bundles.db");
    digest = *blobs->Put(bytes);
    EXPECT_EQ(*blobs->Put(bytes), digest);
    EXPECT_TRUE(absl::IsNotFound(blobs->Get(Sha256("other")).status()));
  }
  auto blobs = *BlobStore::Open(folder_ + "/bundles.db");
  EXPECT_TRUE(*blobs->Has(digest));
  EXPECT_FALSE(*blobs->Has(Sha256("other")));
  EXPECT_EQ(*blobs->Get(digest), bytes);
}

// Nobody can delete a row by hand while the coordinator has the file: it goes by itself, and whoever has the
// bytes is asked for them again.
TEST_F(SqliteStoreTest, ABlobThatIsDamagedIsSaidOnceAndPutAgain) {
  const std::string bytes(3'000'000, 'x');
  auto blobs = *BlobStore::Open(folder_ + "/bundles.db");
  const Digest digest = *blobs->Put(bytes), other = *blobs->Put("other");
  {
    auto database = *SqliteDatabase::Open(folder_ + "/bundles.db", SqliteMode::kReadWrite);
    ASSERT_TRUE(database->Query("UPDATE blob SET bytes = x'00' WHERE length(bytes) > 5").Run().ok());
  }
  EXPECT_TRUE(*blobs->Has(digest));  // it is only looked at when it is read
  const absl::Status damaged = blobs->Get(digest).status();
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_THAT(std::string(damaged.message()), testing::HasSubstr("bring it again"));
  EXPECT_FALSE(*blobs->Has(digest));
  EXPECT_TRUE(absl::IsNotFound(blobs->Get(digest).status()));
  EXPECT_EQ(*blobs->Put(bytes), digest);
  EXPECT_EQ(*blobs->Get(digest), bytes);
  EXPECT_EQ(*blobs->Get(other), "other");
}

}  // namespace
}  // namespace quire::coordinator
