#include "coordinator/ledger/sqlite.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire::coordinator {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::Status CreatePrivateFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("write", path, errno);
  ::close(fd);
  return absl::OkStatus();
}

}  // namespace

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;  // it could not be prepared
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void SqliteQuery::BindOne(int index, int64_t value) {
  if (error_ == SQLITE_OK) error_ = sqlite3_bind_int64(statement_, index, value);
}

void SqliteQuery::BindOne(int index, const std::optional<int64_t>& value) {
  if (value) BindOne(index, *value);  // unbound is NULL
}

void SqliteQuery::BindOne(int index, const std::string& text) {
  if (error_ != SQLITE_OK) return;
  error_ = sqlite3_bind_text(statement_, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

void SqliteQuery::BindOne(int index, const std::optional<std::string>& text) {
  if (text) BindOne(index, *text);
}

void SqliteQuery::BindOne(int index, SqliteBlob blob) {
  if (error_ != SQLITE_OK) return;
  error_ = sqlite3_bind_blob64(statement_, index, blob.bytes.data(), blob.bytes.size(), SQLITE_TRANSIENT);
}

absl::StatusOr<bool> SqliteQuery::Step() {
  if (error_ != SQLITE_OK) return SqliteError(file_, error_);
  errno = 0;
  const int code = sqlite3_step(statement_);
  const int system_errno = errno;
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(file_, sqlite3_extended_errcode(file_.connection), system_errno);
}

absl::Status SqliteQuery::Run() { return Step().status(); }

std::string SqliteQuery::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path, SqliteMode mode,
                                                                     const char* if_damaged) {
  const bool write = mode == SqliteMode::kReadWrite;
  if (write) QUIRE_RETURN_IF_ERROR(CreatePrivateFile(path));
  sqlite3* connection = nullptr;
  const int flags = (write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &connection, flags, nullptr);
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase({connection, path, if_damaged}));
  if (code != SQLITE_OK) {
    return absl::UnavailableError(absl::StrCat("can't open ", path, ": ", sqlite3_errstr(code),
                                               ": check that it is there and belongs to this user"));
  }
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  if (write) QUIRE_RETURN_IF_ERROR(database->MakeDurable());
  return database;
}

// Setting a mode that can't be had is no error to SQLite: it says what it has instead.
absl::Status SqliteDatabase::MakeDurable() {
  std::string mode;
  {
    SqliteQuery query = Query("PRAGMA journal_mode = WAL");
    QUIRE_RETURN_IF_ERROR(query.Run());
    mode = query.Bytes(0);
  }
  QUIRE_RETURN_IF_ERROR(Query("PRAGMA synchronous = FULL").Run());
  SqliteQuery query = Query("PRAGMA synchronous");
  QUIRE_RETURN_IF_ERROR(query.Run());
  constexpr int64_t kFullSync = 2;
  if (mode == "wal" && query.Int(0) == kFullSync) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(file_.path, ": SQLite can't keep a write-ahead log here ",
                                                    "(journal_mode ", mode, ", synchronous ", query.Int(0),
                                                    "): the data folder must be on a local file system"));
}

absl::Status SqliteDatabase::QuickCheck() {
  SqliteQuery query = Query("PRAGMA quick_check(1)");
  QUIRE_ASSIGN_OR_RETURN(const bool said, query.Step());
  const std::string first = said ? query.Bytes(0) : "";
  if (first == "ok") return absl::OkStatus();
  return Damaged(first);
}

absl::Status SqliteDatabase::Damaged(const std::string& how) const {
  return absl::DataLossError(absl::StrCat(file_.path, " is damaged (", how, "): ", file_.if_damaged));
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(file_.connection);
}

absl::Status SqliteDatabase::EnsureSchema(absl::Span<const char* const> scripts) {
  return Transaction([&]() -> absl::Status {
    int64_t version = 0;
    {
      SqliteQuery query = Query("PRAGMA user_version");
      QUIRE_RETURN_IF_ERROR(query.Run());
      version = query.Int(0);
    }
    const auto known = static_cast<int64_t>(scripts.size());
    if (version == known) return absl::OkStatus();
    if (version < 0 || version > known) {
      return absl::FailedPreconditionError(absl::StrCat(
          file_.path, " has schema version ", version, ", made by a newer Quire; this one knows ", known,
          ": start the newer one, or restore a backup from before it"));
    }
    std::string script;
    for (; version < known; ++version) script += scripts[version];
    absl::StrAppend(&script, "PRAGMA user_version = ", known);
    const int code = sqlite3_exec(file_.connection, script.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return SqliteError(file_, sqlite3_extended_errcode(file_.connection));
    return absl::OkStatus();
  });
}

SqliteQuery SqliteDatabase::Query(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  int code = SQLITE_OK;
  if (statement == nullptr) {
    code = sqlite3_prepare_v3(file_.connection, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  }
  return SqliteQuery(file_, statement, code);
}

void SqliteDatabase::Rollback() {
  // After some errors SQLite has rolled back by itself; then there is nothing to do.
  if (sqlite3_get_autocommit(file_.connection) == 0) Query("ROLLBACK").Run().IgnoreError();
}

}  // namespace quire::coordinator
