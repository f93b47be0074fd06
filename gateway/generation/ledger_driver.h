// Carries the accountant's messages: one thread that sends what is due (Progress, Settle), hands replies
// back, and wakes the streams whose allowance changed. Owned by gateway.cc; Watch and Unwatch from any
// thread. Always: what the accountant wants said is said again until it is acknowledged; Drain returns true
// only when nothing is left to settle.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/clock.h"
#include "base/core/ids.h"
#include "base/core/mutex.h"
#include "gateway/accounting/accountant.h"
#include "gateway/rpc/coordinator_client.h"

namespace quire::gateway {

class LedgerDriver {
 public:
  LedgerDriver(std::shared_ptr<grpc::Channel> coordinator, const Clock& clock, AccountantOptions options);
  ~LedgerDriver();

  Accountant& accountant() { return accountant_; }

  // `wake` runs on a gRPC thread or the driver's own, must not block, and may still run once after Unwatch.
  void Watch(const RequestId& id, std::function<void()> wake) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unwatch(const RequestId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeAll() ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits until every request is closed and settled; false if `limit` passed first.
  bool Drain(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Kick() ABSL_LOCKS_EXCLUDED(mutex_);
  void SendDue() ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteSettle(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteProgress(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake(const std::vector<RequestId>& ids) ABSL_LOCKS_EXCLUDED(mutex_);
  bool AllSettled() const { return accountant_.open_requests() == 0 && accountant_.pending_settles() == 0; }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return kicked_ || closing_; }

  const Clock& clock_;
  Accountant accountant_;
  Mutex mutex_;
  bool kicked_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool settles_fail_ ABSL_GUARDED_BY(mutex_) = false;    // the last Settle did
  bool progress_fails_ ABSL_GUARDED_BY(mutex_) = false;  // the same of Progress
  absl::flat_hash_map<RequestId, std::function<void()>> wakes_ ABSL_GUARDED_BY(mutex_);
  CoordinatorClient client_;  // after what its callbacks use: its destructor waits for them
  std::thread thread_;        // last: it uses the rest
};

}  // namespace quire::gateway
