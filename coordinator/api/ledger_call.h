// A ledger operation as a plain call that waits for its commit: for the start, never for an RPC or a handler
// (asking.h).
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/ledger_thread.h"

namespace quire::coordinator {

// operation(ledger, reply) runs on the ledger thread. Unavailable when no answer came in time (it may still
// happen).
template <typename T, typename Operation>
absl::StatusOr<T> CallLedger(LedgerThread& thread, Operation operation) {
  constexpr int kTimeoutSeconds = 10;
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
  if (!call->done.WaitForNotificationWithTimeout(absl::Seconds(kTimeoutSeconds))) {
    return absl::UnavailableError("the ledger did not answer in time; look before you try again");
  }
  return std::move(call->result);
}

}  // namespace quire::coordinator
