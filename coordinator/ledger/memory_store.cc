#include "coordinator/ledger/memory_store.h"

#include <utility>

#include "base/core/status.h"

namespace quire::coordinator {

absl::StatusOr<uint64_t> MemoryStore::TakeOver() {
  if (unreachable_) return absl::UnavailableError("the store is unreachable");
  return ++term_;
}

absl::StatusOr<LedgerState> MemoryStore::Load() {
  if (unreachable_) return absl::UnavailableError("the store is unreachable");
  ++loads_;
  LedgerState state;
  state.last_closed_ms = last_closed_ms_;
  for (const auto& [id, row] : accounts_) state.accounts.push_back(row);
  for (const auto& [id, row] : keys_) state.keys.push_back(row);
  for (const auto& [model, versions] : prices_) {
    for (const auto& [version, price] : versions) state.prices.push_back({model, price});
  }
  for (const auto& [id, row] : requests_) {
    if (row.state == RequestState::kOpen) state.open_requests.push_back(row);
  }
  return state;
}

absl::StatusOr<std::optional<StoredRequest>> MemoryStore::Find(const RequestId& id) {
  if (unreachable_) return absl::UnavailableError("the store is unreachable");
  if (const auto fault = find_faults_.find(id); fault != find_faults_.end()) return fault->second;
  const auto request = requests_.find(id);
  if (request == requests_.end()) return std::nullopt;
  const auto entry = entries_.find(id);
  return StoredRequest{request->second, entry == entries_.end() ? 0 : entry->second.amount_nano_usd};
}

absl::StatusOr<std::optional<EntryRow>> MemoryStore::FindEntry(const RequestId& id) {
  if (unreachable_) return absl::UnavailableError("the store is unreachable");
  const auto entry = entries_.find(id);
  return entry == entries_.end() ? std::nullopt : std::optional(entry->second);
}

absl::Status MemoryStore::Commit(const LedgerBatch& batch) {
  if (unreachable_) return absl::UnavailableError("the store is unreachable");
  if (batch.term != term_) return absl::FailedPreconditionError("another leader has taken over");
  const CommitFault fault = std::exchange(next_fault_, every_fault_);
  if (fault == CommitFault::kDiskFull) return absl::ResourceExhaustedError("the disk is full");
  QUIRE_RETURN_IF_ERROR(CheckKeys(batch));
  Apply(batch);
  ++commits_;
  if (fault == CommitFault::kUnknown) return absl::UnavailableError("the connection broke during the commit");
  return absl::OkStatus();
}

absl::Status MemoryStore::CheckKeys(const LedgerBatch& batch) const {
  for (const EntryRow& entry : batch.entries) {
    if (entries_.contains(entry.id)) return absl::InternalError("a second entry of one id");
    if (entry.reverses && reversed_.contains(*entry.reverses)) {
      return absl::InternalError("a second reversal of one entry");
    }
  }
  for (const RequestRow& row : batch.requests) {
    const auto known = requests_.find(row.id);
    if (known != requests_.end() && known->second.state == RequestState::kClosed) {
      return absl::InternalError("a closed request was written again");
    }
  }
  return absl::OkStatus();
}

void MemoryStore::Apply(const LedgerBatch& batch) {
  for (const AccountRow& row : batch.accounts) accounts_[row.id] = row;
  for (const KeyRow& row : batch.keys) keys_[row.id] = row;
  for (const PriceRow& row : batch.prices) prices_[row.model][row.price.version] = row.price;
  for (const RequestRow& row : batch.requests) {
    requests_[row.id] = row;
    if (row.forgettable) forgettable_.insert({batch.unix_ms, row.id});
  }
  for (uint64_t i = 0; i < batch.forget_most && !forgettable_.empty(); ++i) {
    if (forgettable_.begin()->first >= batch.forget_before_ms) break;
    requests_.erase(forgettable_.begin()->second);
    forgettable_.erase(forgettable_.begin());
  }
  for (const EntryRow& row : batch.entries) {
    entries_[row.id] = row;
    if (row.reverses) reversed_.insert(*row.reverses);
  }
  if (!batch.entries.empty()) last_closed_ms_ = batch.unix_ms;
}

}  // namespace quire::coordinator
