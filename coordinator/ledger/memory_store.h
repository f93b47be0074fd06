// A LedgerStore in memory that fails on demand, for tests and the simulation. Two ledgers may share one: it
// is the disk that outlives them. Not thread-safe. Always: it refuses (Internal) what the SQLite schema's
// keys would refuse.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "coordinator/ledger/ledger_store.h"

namespace quire::coordinator {

enum class CommitFault {
  kNone,
  kDiskFull,  // nothing is written
  kUnknown,   // written, but the caller is told that it failed
};

class MemoryStore final : public LedgerStore {
 public:
  absl::StatusOr<uint64_t> TakeOver() override;
  absl::StatusOr<LedgerState> Load() override;
  absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) override;
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) override;
  absl::Status Commit(const LedgerBatch& batch) override;

  // For the next commit that comes with the right term.
  void FailNextCommit(CommitFault fault) { next_fault_ = fault; }
  // For all of them, until told otherwise.
  void FailNextCommits(CommitFault fault) { next_fault_ = every_fault_ = fault; }
  // While true, Load and Find fail too.
  void set_unreachable(bool unreachable) { unreachable_ = unreachable; }
  // What Find of this request answers from now on.
  void FailFindOf(const RequestId& id, absl::Status status) { find_faults_[id] = std::move(status); }

  // What is durable.
  uint64_t term() const { return term_; }
  uint64_t commits() const { return commits_; }
  uint64_t loads() const { return loads_; }
  const std::map<std::string, AccountRow>& accounts() const { return accounts_; }
  const std::map<std::string, KeyRow>& keys() const { return keys_; }
  const std::map<std::string, std::map<uint64_t, TokenPrice>>& prices() const { return prices_; }
  const std::map<RequestId, RequestRow>& requests() const { return requests_; }
  const std::map<RequestId, EntryRow>& entries() const { return entries_; }

 private:
  absl::Status CheckKeys(const LedgerBatch& batch) const;
  void Apply(const LedgerBatch& batch);

  uint64_t term_ = 0;
  uint64_t commits_ = 0;
  uint64_t loads_ = 0;
  int64_t last_closed_ms_ = 0;
  bool unreachable_ = false;
  CommitFault next_fault_ = CommitFault::kNone, every_fault_ = CommitFault::kNone;
  std::map<std::string, AccountRow> accounts_;
  std::map<std::string, KeyRow> keys_;
  std::map<std::string, std::map<uint64_t, TokenPrice>> prices_;
  std::map<RequestId, RequestRow> requests_;
  std::map<RequestId, EntryRow> entries_;
  std::set<RequestId> reversed_;
  std::set<std::pair<int64_t, RequestId>> forgettable_;  // with when they were settled
  std::map<RequestId, absl::Status> find_faults_;
};

}  // namespace quire::coordinator
