// A ledger operation as a plain call that waits for its commit: for the start, never for an RPC or a handler
// (asking.h). It waits as long as the disk takes, since nobody is served yet; a ledger that can't go on ends
// the process (LedgerThreadOptions::on_fatal).
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/ledger_thread.h"

namespace quire::coordinator {

// operation(ledger, reply) runs on the ledger thread.
template <typename T, typename Operation>
absl::StatusOr<T> CallLedger(LedgerThread& thread, Operation operation) {
  struct Call {
    Notification done;
    absl::StatusOr<T> result;
  };
  auto call = std::make_shared<Call>();
  const bool posted = thread.Post([call, operation = std::move(operation)](Ledger& ledger) mutable {
    operation(ledger, Reply<T>([call](absl::StatusOr<T> result) {
                call->result = std::move(result);
                call->done.Notify();
              }));
  });
  if (!posted) return absl::UnavailableError("the ledger is busy; try again");
  call->done.WaitForNotification();
  return std::move(call->result);
}

}  // namespace quire::coordinator
