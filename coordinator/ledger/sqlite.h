// SQLite as the stores here use it: one connection, statements prepared once and always bound, errors as
// absl::Status by what to do about them; their messages name the file and say it. Owned by one store; not
// thread-safe. Never builds SQL from values.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace quire::coordinator {

// Marks bytes to be bound as a blob; refers to them until the query has run.
struct SqliteBlob {
  std::string_view bytes;
};

// A connection and the words that its errors need.
struct SqliteFile {
  sqlite3* connection = nullptr;
  std::string path;
  std::string if_damaged;  // what to do then
};

// One use of a prepared statement: bind all parameters, step, read columns. Resets the statement when it
// goes. Errors of preparing and binding are kept and returned by Step or Run. One at a time per SQL text.
class SqliteQuery {
 public:
  // `file` outlives it.
  SqliteQuery(const SqliteFile& file, sqlite3_stmt* statement, int error)
      : file_(file), statement_(statement), error_(error) {}
  ~SqliteQuery();
  SqliteQuery(const SqliteQuery&) = delete;
  SqliteQuery& operator=(const SqliteQuery&) = delete;

  // Values for ?1, ?2, ... in order.
  template <typename... Values>
  SqliteQuery& Bind(const Values&... values) {
    int index = 0;
    (BindOne(++index, values), ...);
    return *this;
  }
  // True: there is a row. False: done.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  int64_t Int(int column) const { return sqlite3_column_int64(statement_, column); }
  uint64_t Unsigned(int column) const { return static_cast<uint64_t>(Int(column)); }
  bool IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string Bytes(int column) const;  // text and blobs

 private:
  void BindOne(int index, int64_t value);
  void BindOne(int index, uint64_t value) { BindOne(index, static_cast<int64_t>(value)); }
  void BindOne(int index, const std::optional<int64_t>& value);
  void BindOne(int index, const std::string& text);
  void BindOne(int index, const std::optional<std::string>& text);
  void BindOne(int index, SqliteBlob blob);

  const SqliteFile& file_;
  sqlite3_stmt* const statement_;
  int error_;
};

enum class SqliteMode { kReadOnly, kReadWrite };

class SqliteDatabase {
 public:
  // Read-write opens the file or creates it with mode 0600; WAL, synchronous=FULL (both read back), waits up
  // to 5 s for another connection's lock. `if_damaged` says what to do then.
  static constexpr const char* kRestore =
      "remove its -wal and -shm files and restore it from a backup (docs/OPERATIONS.md), or salvage it with "
      "sqlite3's .recover";
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(const std::string& path, SqliteMode mode,
                                                              const char* if_damaged = kRestore);
  ~SqliteDatabase();

  // Brings a file up to the schema version of the last script: script n leads from version n - 1 to n.
  // Refuses newer files.
  absl::Status EnsureSchema(absl::Span<const char* const> scripts);
  // DataLoss: pages, b-trees or rows are damaged. Reads the whole file.
  absl::Status QuickCheck();
  // `sql` is a literal: the statement is cached under its address.
  SqliteQuery Query(const char* sql);
  // Run `body` between a BEGIN and COMMIT, or roll back with its error. Reading sees one snapshot and locks
  // nobody out.
  template <typename Body>
  absl::Status Transaction(Body body) {
    return Run("BEGIN IMMEDIATE", body);
  }
  template <typename Body>
  absl::Status ReadTransaction(Body body) {
    return Run("BEGIN DEFERRED", body);
  }
  // Rows that the last statement changed.
  int64_t changes() const { return sqlite3_changes64(file_.connection); }
  sqlite3* connection() const { return file_.connection; }
  // DataLoss that names the file and says what to do.
  absl::Status Damaged(const std::string& how) const;

 private:
  explicit SqliteDatabase(SqliteFile file) : file_(std::move(file)) {}
  absl::Status MakeDurable();
  template <typename Body>
  absl::Status Run(const char* begin, Body body) {
    absl::Status status = Query(begin).Run();
    if (!status.ok()) return status;
    status = body();
    if (status.ok()) status = Query("COMMIT").Run();
    if (!status.ok()) Rollback();
    return status;
  }
  void Rollback();

  const SqliteFile file_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

// What an error means for whoever wrote (sqlite_errors.cc has the one table).
enum class SqliteFault {
  kBusy,   // somebody else's lock, a lack of memory or handles: passes
  kFull,   // disk full, quota reached: passes when somebody makes room
  kFatal,  // the disk or the file is broken: never write again
  kOurs,   // a violated key, a wrong statement: a bug
};
// `code` is extended; `system_errno` is why the operating system refused, 0 if it did not.
SqliteFault ClassifySqlite(int code, int system_errno);

// kBusy: Unavailable. kFull: ResourceExhausted. kFatal: DataLoss. kOurs: Internal.
// SQLite keeps no errno of a failed COMMIT (sqlite3_system_errno): hence the caller's.
absl::Status SqliteError(const SqliteFile& file, int code, int system_errno = 0);

}  // namespace quire::coordinator
