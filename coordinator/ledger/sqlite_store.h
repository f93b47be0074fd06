// The LedgerStore in one SQLite file: WAL, synchronous=FULL (an acknowledged commit survives a power cut),
// prepared statements with bound values only, integers only; UNIQUE keys refuse a second entry in the
// transaction that would post it. Owned by coordinator.cc; one thread, the ledger's. A failed fsync (EIO) is
// DataLoss: exit, it is never retried.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "coordinator/ledger/ledger_store.h"

namespace quire::coordinator {

class SqliteDatabase;

enum class NewBooks { kAllowed, kRefused };

class SqliteStore final : public LedgerStore {
 public:
  static constexpr uint64_t kCheckBytes = uint64_t{256} << 20;

  // Opens or creates the file (0600) and its schema. Refuses a schema newer than this program, books to be
  // begun where they are not allowed (FailedPrecondition; the file is left as it is), and a damaged
  // file (DataLoss): one of at most `check_bytes` is read through first, about a second per 500 MB; damage in
  // a larger one is found when it is read, or by the audit on demand.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path,
                                                           uint64_t check_bytes = kCheckBytes,
                                                           NewBooks new_books = NewBooks::kAllowed);
  ~SqliteStore() override;

  // What is known of the pepper that keys are stored under: a proof made from it, kept once.
  struct PepperFacts {
    std::string proof;  // empty: none is kept
    bool has_keys = false;
  };
  absl::StatusOr<PepperFacts> GetPepperFacts();
  absl::Status KeepPepperProof(const std::string& proof);

  absl::StatusOr<uint64_t> TakeOver() override;
  absl::StatusOr<LedgerState> Load() override;
  absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) override;
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) override;
  absl::Status Commit(const LedgerBatch& batch) override;

 private:
  explicit SqliteStore(std::unique_ptr<SqliteDatabase> database);

  std::unique_ptr<SqliteDatabase> database_;
};

}  // namespace quire::coordinator
