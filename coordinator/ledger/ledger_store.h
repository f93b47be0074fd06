// Where the ledger's rows are durable. Implementations: SqliteStore, MemoryStore (tests; fails on demand).
// Called by one thread, the ledger's. Always: after OK the batch survives a crash of process and machine;
// after an error the caller must assume neither outcome and Load again.
//
// Errors say what to do: FailedPrecondition = another leader has a newer term, give up; DataLoss = the disk
// failed, exit without another write (IsFatal is these two); Internal = a bug, of one of the batch's rows;
// anything else (ResourceExhausted = disk full, Unavailable) passes by itself.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/ledger/records.h"

namespace quire::coordinator {

// A closed (or open) request as the store knows it, with what was posted for it.
struct StoredRequest {
  RequestRow row;
  int64_t posted_nano_usd = 0;
};

// After such an error the store must not be written to again: the process has to exit.
inline bool IsFatal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
}

class LedgerStore {
 public:
  virtual ~LedgerStore() = default;

  // Makes the caller the leader: raises the term, durably, and returns it. Commits of older terms fail from
  // now on.
  virtual absl::StatusOr<uint64_t> TakeOver() = 0;
  virtual absl::StatusOr<LedgerState> Load() = 0;
  // One request, open or closed; null if there is none.
  virtual absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) = 0;
  // Null if there is none.
  virtual absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) = 0;
  // One transaction that checks batch.term. Tells a bug from bad luck: an entry whose id exists already, or
  // that takes back what another one has, or an open row for a closed request, is Internal, and nothing is
  // written.
  virtual absl::Status Commit(const LedgerBatch& batch) = 0;
};

}  // namespace quire::coordinator
