// A LedgerStore that measures how long the commits of the one below take. Owned by coordinator.cc, used by
// the ledger's thread.
#pragma once

#include <vector>

#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "coordinator/ledger/ledger_store.h"

namespace quire::coordinator {

class MeteredStore final : public LedgerStore {
 public:
  MeteredStore(LedgerStore* store, const Clock& clock, Metrics& metrics)
      : store_(store),
        clock_(clock),
        seconds_(metrics.Histogram("quire_coordinator_ledger_commit_seconds",
                                   "Time of a durable transaction.",
                                   {.001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1, 4})) {}

  absl::StatusOr<uint64_t> TakeOver() override { return store_->TakeOver(); }
  absl::StatusOr<LedgerState> Load() override { return store_->Load(); }
  absl::StatusOr<std::optional<StoredRequest>> Find(const RequestId& id) override { return store_->Find(id); }
  absl::StatusOr<std::optional<EntryRow>> FindEntry(const RequestId& id) override {
    return store_->FindEntry(id);
  }
  absl::Status Commit(const LedgerBatch& batch) override {
    const int64_t begin_us = clock_.NowUs();
    absl::Status committed = store_->Commit(batch);
    seconds_.Observe(static_cast<double>(clock_.NowUs() - begin_us) / 1e6);
    return committed;
  }

 private:
  LedgerStore* const store_;
  const Clock& clock_;
  prometheus::Histogram& seconds_;
};

}  // namespace quire::coordinator
