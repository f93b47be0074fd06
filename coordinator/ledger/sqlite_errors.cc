// Every error of SQLite, by what to do about it.
#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "coordinator/ledger/sqlite.h"

namespace quire::coordinator {
namespace {

struct Meaning {
  int code;
  SqliteFault fault;
  bool ask_errno = false;  // the operating system may know better
};

// Extended codes first, then the primary ones that stand for all their other extensions. What is not here is
// a bug (kOurs): CONSTRAINT, MISUSE, ERROR, RANGE, MISMATCH, TOOBIG, SCHEMA, AUTH, ...
constexpr Meaning kMeanings[] = {
    // A failed sync is the end whatever the reason: the kernel has dropped what it could not write.
    {SQLITE_IOERR_FSYNC, SqliteFault::kFatal},
    {SQLITE_IOERR_DIR_FSYNC, SqliteFault::kFatal},
    {SQLITE_IOERR_READ, SqliteFault::kFatal},
    {SQLITE_IOERR_SHORT_READ, SqliteFault::kFatal},
    {SQLITE_IOERR_CORRUPTFS, SqliteFault::kFatal},
    {SQLITE_IOERR_DATA, SqliteFault::kFatal},
    {SQLITE_IOERR_NOMEM, SqliteFault::kBusy},
    {SQLITE_IOERR_SHMSIZE, SqliteFault::kFull},  // no space for the WAL's index
    {SQLITE_IOERR_BLOCKED, SqliteFault::kBusy},
    {SQLITE_IOERR_LOCK, SqliteFault::kBusy},
    {SQLITE_IOERR_UNLOCK, SqliteFault::kBusy},
    {SQLITE_IOERR_RDLOCK, SqliteFault::kBusy},
    {SQLITE_IOERR_CHECKRESERVEDLOCK, SqliteFault::kBusy},
    {SQLITE_IOERR_SHMLOCK, SqliteFault::kBusy},
    {SQLITE_IOERR, SqliteFault::kFatal, true},
    {SQLITE_CANTOPEN, SqliteFault::kFatal, true},  // the WAL or its index, once the file itself was opened
    {SQLITE_CORRUPT, SqliteFault::kFatal},
    {SQLITE_NOTADB, SqliteFault::kFatal},
    {SQLITE_READONLY, SqliteFault::kFatal},  // remounted read-only, or moved away under us
    {SQLITE_FULL, SqliteFault::kFull},
    {SQLITE_BUSY, SqliteFault::kBusy},
    {SQLITE_LOCKED, SqliteFault::kBusy},
    {SQLITE_PROTOCOL, SqliteFault::kBusy},  // too many tries to get the WAL's locks
    {SQLITE_NOMEM, SqliteFault::kBusy},
    {SQLITE_INTERRUPT, SqliteFault::kBusy},
};

std::optional<SqliteFault> ClassifyErrno(int system_errno) {
  switch (system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:  // a limit on the file's size
      return SqliteFault::kFull;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOLCK:
    case EAGAIN:
    case EINTR:
      return SqliteFault::kBusy;
    default:
      return std::nullopt;
  }
}

const Meaning* Find(int code) {
  const auto* found = std::find_if(std::begin(kMeanings), std::end(kMeanings),
                                   [code](const Meaning& meaning) { return meaning.code == code; });
  return found == std::end(kMeanings) ? nullptr : found;
}

}  // namespace

SqliteFault ClassifySqlite(int code, int system_errno) {
  const Meaning* meaning = Find(code);
  if (meaning == nullptr) meaning = Find(code & 0xff);
  if (meaning == nullptr) return SqliteFault::kOurs;
  if (!meaning->ask_errno) return meaning->fault;
  return ClassifyErrno(system_errno).value_or(meaning->fault);
}

absl::Status SqliteError(const SqliteFile& file, int code, int system_errno) {
  const std::string said =
      absl::StrCat(file.path, ": SQLite: ", sqlite3_errmsg(file.connection), " (", sqlite3_errstr(code),
                   ", code ", code, ", errno ", system_errno, "): ");
  switch (ClassifySqlite(code, system_errno)) {
    case SqliteFault::kBusy:
      return absl::UnavailableError(absl::StrCat(
          said, "try again; if it stays, look who else has the file open, and at memory and limits"));
    case SqliteFault::kFull:
      return absl::ResourceExhaustedError(
          absl::StrCat(said, "make room on its disk, or raise the quota or limit"));
    case SqliteFault::kFatal:
      return absl::DataLossError(
          absl::StrCat(said, "check its disk and mount; if the file is damaged, ", file.if_damaged));
    case SqliteFault::kOurs:
      break;
  }
  return absl::InternalError(
      absl::StrCat(said, "a bug of Quire, or something else wrote to the file: report it"));
}

}  // namespace quire::coordinator
