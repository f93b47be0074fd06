// The group commit: what changed in memory becomes one transaction; its replies go out when it stands.
#include <utility>

#include "base/core/status.h"
#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {

absl::Status Ledger::Commit(int64_t unix_ms) {
  if (!loaded_) return Reload();
  LedgerBatch batch = TakeBatch(unix_ms);
  std::vector<Release> releases = std::exchange(releases_, {});
  if (releases.empty() && batch.IsEmpty()) return absl::OkStatus();

  const absl::Status status = store_->Commit(batch);
  if (status.ok()) {
    AfterSuccess(batch);
  } else {
    // Whether the store holds the batch is not known: forget everything, and read what it holds.
    ++counters_.failed_commits;
    ClearMemory();
    const bool fatal = absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
    if (fatal) term_ = 0;    // for good
    Reload().IgnoreError();  // if it fails, the next Commit tries again
  }
  for (Release& release : releases) release(status);
  return status;
}

LedgerBatch Ledger::TakeBatch(int64_t unix_ms) {
  LedgerBatch batch;
  batch.term = term_;
  batch.unix_ms = unix_ms;
  for (const std::string& id : std::exchange(changed_accounts_, {}))
    batch.accounts.push_back(accounts_.at(id));
  for (const std::string& id : std::exchange(changed_keys_, {})) batch.keys.push_back(keys_.at(id));
  for (const RequestId& id : std::exchange(changed_requests_, {}))
    batch.requests.push_back(requests_.at(id).row);
  batch.prices = std::exchange(new_prices_, {});
  batch.entries = std::exchange(new_entries_, {});
  return batch;
}

void Ledger::AfterSuccess(const LedgerBatch& batch) {
  for (const RequestId& id : std::exchange(closed_, {})) requests_.erase(id);
  const LedgerCounters news = std::exchange(new_counts_, {});
  ++counters_.commits;
  counters_.reaped += news.reaped;
  counters_.unbilled_positions += news.unbilled_positions;
  counters_.above_grant_alarms += news.above_grant_alarms;
  for (const EntryRow& entry : batch.entries) {
    counters_.posted_nano_usd += static_cast<uint64_t>(entry.amount_nano_usd);
    counters_.posted_positions += entry.billed.completion;
  }
}

void Ledger::ClearMemory() {
  loaded_ = false;
  accounts_.clear();
  keys_.clear();
  prices_.clear();
  requests_.clear();
  closed_.clear();
  changed_accounts_.clear();
  changed_keys_.clear();
  changed_requests_.clear();
  new_prices_.clear();
  new_entries_.clear();
  new_counts_ = {};
}

absl::Status Ledger::Reload() {
  if (term_ == 0) return absl::FailedPreconditionError("this ledger leads no longer, or never did");
  QUIRE_ASSIGN_OR_RETURN(LedgerState state, store_->Load());
  ClearMemory();
  for (AccountRow& row : state.accounts) accounts_.emplace(row.id, std::move(row));
  for (KeyRow& row : state.keys) keys_.emplace(row.id, std::move(row));
  for (PriceRow& row : state.prices) prices_[row.model].push_back(row.price);
  for (RequestRow& row : state.open_requests) {
    const RequestId id = row.id;
    // The reaper counts this leader's own time only.
    Heard(requests_.emplace(id, Live{std::move(row), 0, 0}).first->second);
  }
  loaded_ = true;
  return absl::OkStatus();
}

}  // namespace quire::coordinator
