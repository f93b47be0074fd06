// Disks that fill, fail and rot: what SQLite says then, and what the store and the ledger make of it.
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "coordinator/ledger/blob_store.h"
#include "coordinator/ledger/ledger_reports.h"
#include "coordinator/ledger/ledger_test_support.h"
#include "coordinator/ledger/sqlite.h"
#include "coordinator/ledger/sqlite_store.h"

namespace quire::coordinator {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SqliteErrorsTest : public ::testing::Test {
 protected:
  SqliteErrorsTest() : folder_(::testing::TempDir() + "sqlite_errors_test_" + RequestId::Random().ToHex()) {
    std::filesystem::create_directory(folder_);
  }
  ~SqliteErrorsTest() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/ledger.db"; }

  // Settles until the file has so many pages, then closes it, which leaves no WAL.
  void FillPages(int pages, RequestId* first) {
    auto store = *SqliteStore::Open(Path());
    TestLedger test(store.get());
    ASSERT_TRUE(test.Start().ok());
    for (int i = 0; i < pages * 40; ++i) {
      const RequestId id = RequestId::Random();
      if (i == 0) *first = id;
      test.ledger.Settle(TestLedger::SettleOf(id, 0), [](auto) {});
    }
    ASSERT_TRUE(test.ledger.Commit(5).ok());
  }
  // Overwrites all pages but the first two with rubbish.
  void Damage() {
    const auto size = std::filesystem::file_size(Path());
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(2 * 4096);
    const std::string rubbish(size - 2 * 4096, '\x5a');
    file.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
  }

  // The first error on the way to another settlement of `id`.
  absl::Status SettleWithoutACheck(const RequestId& id) {
    const auto store = SqliteStore::Open(Path(), /*check_bytes=*/0);
    if (!store.ok()) return store.status();
    Ledger ledger(store->get(), LedgerOptions());
    const absl::Status taken = ledger.TakeOver();
    if (!taken.ok()) return taken;
    ledger.Settle(TestLedger::SettleOf(id, 1), [](auto) {});
    return ledger.Commit(9);
  }

  const std::string folder_;
};

// ---- the table ----

TEST_F(SqliteErrorsTest, EveryErrorHasItsClass) {
  const auto is = [](SqliteFault fault, std::initializer_list<int> codes, int system_errno = 0) {
    for (const int code : codes) EXPECT_EQ(ClassifySqlite(code, system_errno), fault) << code;
  };
  is(SqliteFault::kBusy,
     {SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_BUSY_RECOVERY, SQLITE_LOCKED, SQLITE_NOMEM, SQLITE_PROTOCOL,
      SQLITE_INTERRUPT, SQLITE_IOERR_NOMEM, SQLITE_IOERR_LOCK, SQLITE_IOERR_SHMLOCK});
  is(SqliteFault::kFull, {SQLITE_FULL, SQLITE_IOERR_SHMSIZE});
  is(SqliteFault::kFatal, {SQLITE_CORRUPT, SQLITE_CORRUPT_INDEX, SQLITE_NOTADB, SQLITE_IOERR_READ,
                           SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_CORRUPTFS, SQLITE_READONLY,
                           SQLITE_READONLY_DBMOVED, SQLITE_IOERR_WRITE, SQLITE_IOERR, SQLITE_CANTOPEN});
  is(SqliteFault::kOurs, {SQLITE_CONSTRAINT, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_TRIGGER,
                          SQLITE_MISUSE, SQLITE_ERROR, SQLITE_RANGE, SQLITE_MISMATCH, SQLITE_TOOBIG});
  for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
    is(SqliteFault::kFull, {SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_SHMMAP, SQLITE_CANTOPEN},
       full);
    // A failed sync is never retried, whatever its reason.
    is(SqliteFault::kFatal, {SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC}, full);
  }
  is(SqliteFault::kBusy, {SQLITE_CANTOPEN, SQLITE_IOERR_SHMOPEN}, EMFILE);
  is(SqliteFault::kFatal, {SQLITE_IOERR_WRITE, SQLITE_CANTOPEN}, EIO);
}

TEST_F(SqliteErrorsTest, OursIsInternal) {
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadWrite);
  EXPECT_TRUE(absl::IsInternal(database->Query("SELECT nonsense").Run()));
  ASSERT_TRUE(database->Query("CREATE TABLE t(id INTEGER PRIMARY KEY)").Run().ok());
  ASSERT_TRUE(database->Query("INSERT INTO t VALUES (1)").Run().ok());
  EXPECT_TRUE(absl::IsInternal(database->Query("INSERT INTO t VALUES (1)").Run()));
}

TEST_F(SqliteErrorsTest, SomebodyElsesLockPasses) {
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadWrite);
  auto other = *SqliteDatabase::Open(Path(), SqliteMode::kReadWrite);
  sqlite3_busy_timeout(database->connection(), 0);
  EXPECT_TRUE(other
                  ->Transaction([&] {
                    EXPECT_TRUE(absl::IsUnavailable(database->Transaction([] { return absl::OkStatus(); })));
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_TRUE(database->Transaction([] { return absl::OkStatus(); }).ok());
}

TEST_F(SqliteErrorsTest, WhereNoWriteAheadLogCanBeKeptItSaysSo) {
  EXPECT_THAT(std::string(SqliteDatabase::Open(":memory:", SqliteMode::kReadWrite).status().message()),
              HasSubstr("local file system"));
  std::filesystem::remove(":memory:");  // the file that Open makes for its mode
}

// ---- what an operator reads ----

class SqliteWordsTest : public SqliteErrorsTest {
 protected:
  // `status` names the file and says this.
  void ExpectSays(const absl::Status& status, const std::string& what_to_do) const {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(Path()), HasSubstr(what_to_do)));
  }
  void WriteRubbish() const { std::ofstream(Path()) << std::string(4096, 'x'); }
};

TEST_F(SqliteWordsTest, OfAFileThatIsNoDatabase) {
  WriteRubbish();
  ExpectSays(SqliteStore::Open(Path()).status(), "restore it from a backup");
  ExpectSays(BlobStore::Open(Path()).status(),
             "stop the coordinator, delete this file with its -wal and -shm");
  const auto reports = LedgerReports::Open(Path());
  ExpectSays(reports.ok() ? (*reports)->Usage({}).status() : reports.status(), "restore it from a backup");
}

TEST_F(SqliteWordsTest, OfEveryClassOfError) {
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadWrite);
  const SqliteFile file{database->connection(), Path(), "say a prayer"};
  ExpectSays(SqliteError(file, SQLITE_BUSY), "look who else has the file open");
  ExpectSays(SqliteError(file, SQLITE_FULL), "make room");
  ExpectSays(SqliteError(file, SQLITE_IOERR_WRITE, EDQUOT), "raise the quota");
  ExpectSays(SqliteError(file, SQLITE_CORRUPT), "say a prayer");
  ExpectSays(SqliteError(file, SQLITE_MISUSE), "a bug of Quire");
  ExpectSays(database->Query("SELECT nonsense").Run(), "a bug of Quire");
}

TEST_F(SqliteWordsTest, OfFilesThatCantBeOpenedOrAreNewer) {
  ExpectSays(SqliteDatabase::Open(Path(), SqliteMode::kReadOnly).status(), "check that it is there");
  std::filesystem::create_directory(Path());
  ExpectSays(SqliteDatabase::Open(Path(), SqliteMode::kReadWrite).status(), "a file belongs there");
  std::filesystem::remove(Path());
  auto database = *SqliteDatabase::Open(Path(), SqliteMode::kReadWrite);
  ASSERT_TRUE(database->Query("PRAGMA user_version = 99").Run().ok());
  ExpectSays(database->EnsureSchema({"SELECT 1;"}), "start the newer one");
}

// ---- a file that rots ----

TEST_F(SqliteErrorsTest, ADamagedPageIsRefusedAtTheStart) {
  RequestId first;
  FillPages(20, &first);
  Damage();
  const absl::Status status = SqliteStore::Open(Path()).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("restore it from a backup"));
}

TEST_F(SqliteErrorsTest, ADamagedPageOfALargeFileIsTheEndWhenItIsRead) {
  RequestId first;
  FillPages(20, &first);
  Damage();
  EXPECT_TRUE(absl::IsDataLoss(SettleWithoutACheck(first)));
}

// ---- a disk that fills or fails: SQLite's own file layer with faults in front ----

struct DiskFault {
  static inline int on_write = SQLITE_OK;
  static inline int on_write_errno = 0;  // with it
  static inline int on_sync = SQLITE_OK;
};

class FaultyDisk {
 public:
  FaultyDisk() {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.zName = "faulty";
    vfs_.xOpen = &FaultyDisk::Open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    DiskFault::on_write = DiskFault::on_sync = SQLITE_OK;
    DiskFault::on_write_errno = 0;
  }

 private:
  // SQLite's own methods of one kind of file (it has several), with ours for writing and syncing.
  struct Wrapped {
    sqlite3_io_methods methods;  // first: a file's pMethods points at it
    const sqlite3_io_methods* real;
  };
  static const sqlite3_io_methods& Real(sqlite3_file* file) {
    return *reinterpret_cast<const Wrapped*>(file->pMethods)->real;
  }
  static int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    const int code = real_->xOpen(real_, name, file, flags, out_flags);
    if (code != SQLITE_OK) return code;
    Wrapped& wrapped = wrapped_[file->pMethods];
    wrapped = {*file->pMethods, file->pMethods};
    wrapped.methods.xWrite = [](sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
      if (DiskFault::on_write == SQLITE_OK) return Real(f).xWrite(f, bytes, size, at);
      errno = DiskFault::on_write_errno;
      return DiskFault::on_write;
    };
    wrapped.methods.xSync = [](sqlite3_file* f, int sync_flags) {
      return DiskFault::on_sync != SQLITE_OK ? DiskFault::on_sync : Real(f).xSync(f, sync_flags);
    };
    file->pMethods = &wrapped.methods;
    return code;
  }

  static inline sqlite3_vfs* real_ = nullptr;
  static inline std::map<const sqlite3_io_methods*, Wrapped> wrapped_;
  sqlite3_vfs vfs_;
};

TEST_F(SqliteErrorsTest, AFullDiskRefusesAndHeals) {
  FaultyDisk disk;
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());

  DiskFault::on_write = SQLITE_FULL;
  EXPECT_EQ(test.Admit(TestLedger::AdmitOf(RequestId::Random()))->refusal().reason(), v1::REFUSAL_LEDGER);
  EXPECT_TRUE(absl::IsResourceExhausted(test.Settle(TestLedger::SettleOf(id, 3)).status()));
  DiskFault::on_write = SQLITE_OK;
  ASSERT_TRUE(test.ledger.Commit(9).ok());  // loads
  EXPECT_EQ(*test.Settle(TestLedger::SettleOf(id, 3)), 1200);
  EXPECT_THAT((*LedgerReports::Open(Path()))->Audit()->findings, IsEmpty());
}

TEST_F(SqliteErrorsTest, AFailedSyncIsTheEndAndNothingAcknowledgedIsMissing) {
  FaultyDisk disk;
  const RequestId id = RequestId::Random();
  {
    auto store = *SqliteStore::Open(Path());
    TestLedger test(store.get());
    ASSERT_TRUE(test.Start().ok());
    ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());
    ASSERT_EQ(*test.Settle(TestLedger::SettleOf(id, 3)), 1200);
    DiskFault::on_sync = SQLITE_IOERR_FSYNC;
    test.ledger.PutAccount("other", 1, [](auto) {});
    EXPECT_TRUE(absl::IsDataLoss(test.ledger.Commit(9)));
    DiskFault::on_sync = SQLITE_OK;
    EXPECT_TRUE(absl::IsFailedPrecondition(test.ledger.Commit(9)));  // for good: the process has to exit
  }
  auto store = *SqliteStore::Open(Path());
  EXPECT_EQ((*store->Find(id))->posted_nano_usd, 1200);
}

// A quota shows as an error of writing with EDQUOT: it passes like a full disk.
TEST_F(SqliteErrorsTest, AQuotaRefusesAndHeals) {
  FaultyDisk disk;
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(test.Admit(TestLedger::AdmitOf(id))->has_grant());
  DiskFault::on_write = SQLITE_IOERR_WRITE;
  DiskFault::on_write_errno = EDQUOT;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(test.Admit(TestLedger::AdmitOf(RequestId::Random()))->refusal().reason(), v1::REFUSAL_LEDGER);
    EXPECT_FALSE(test.Settle(TestLedger::SettleOf(id, 3)).ok());
    EXPECT_FALSE(absl::IsDataLoss(test.ledger.Commit(9)));
  }
  DiskFault::on_write = SQLITE_OK;
  const absl::Status loaded = test.ledger.Commit(9);
  ASSERT_TRUE(loaded.ok()) << loaded;
  EXPECT_EQ(*test.Settle(TestLedger::SettleOf(id, 3)), 1200);
  EXPECT_THAT((*LedgerReports::Open(Path()))->Audit()->findings, IsEmpty());
}

TEST_F(SqliteErrorsTest, AWriteThatFailsOtherwiseIsTheEnd) {
  FaultyDisk disk;
  auto store = *SqliteStore::Open(Path());
  TestLedger test(store.get());
  ASSERT_TRUE(test.Start().ok());
  DiskFault::on_write = SQLITE_IOERR_WRITE;
  DiskFault::on_write_errno = EIO;
  test.ledger.PutAccount("other", 1, [](auto) {});
  EXPECT_TRUE(absl::IsDataLoss(test.ledger.Commit(9)));
  DiskFault::on_write = SQLITE_OK;
  EXPECT_TRUE(absl::IsFailedPrecondition(test.ledger.Commit(9)));
}

}  // namespace
}  // namespace quire::coordinator
