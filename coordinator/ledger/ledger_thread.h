// The one thread that runs the Ledger: takes operations from a bounded queue, applies all that wait, commits
// once, and so releases their replies (group commit), and calls the reaper in time. Owned by coordinator.cc;
// Post and the three RPC calls are for any thread. Replies run on the ledger thread, exactly once each: they
// must not block (hand over to gRPC or a queue). Always: nothing accepted by the queue is dropped; Stop runs
// what is queued first. While the disk is full the store is tried at growing intervals (at most kLastRetry),
// and everything that comes between is refused at once; the service resumes by itself.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "coordinator/ledger/ledger.h"

namespace quire::coordinator {

struct LedgerThreadOptions {
  size_t max_queued = 4096;  // operations
  size_t max_batch = 512;    // operations per transaction
  int64_t reap_period_us = LedgerOptions().reap_period_us;
  // A commit said that this coordinator can't go on (deposed, or the disk failed): log it and exit at once.
  // Runs on the ledger thread.
  std::function<void(const absl::Status&)> on_fatal;
};

class LedgerThread {
 public:
  static constexpr int64_t kFirstRetryUs = 50'000, kLastRetryUs = 2'000'000;
  // No disk that works needs so long for what is applied and committed at once.
  static constexpr int64_t kHangsAfterUs = 10'000'000;

  // The ledger is loaded already (Ledger::TakeOver) and belongs to this thread until Stop returned.
  LedgerThread(Ledger* ledger, const Clock* clock, LedgerThreadOptions options);
  ~LedgerThread();  // Stop()

  // thread.Admit(request, [reactor](absl::StatusOr<v1::AdmitReply> reply) {...}). With a full queue the reply
  // comes at once, from the calling thread: REFUSAL_LEDGER for Admit, ResourceExhausted for the others.
  void Admit(v1::AdmitRequest request, Reply<v1::AdmitReply> reply);
  void Progress(v1::ProgressRequest request, Reply<v1::ProgressReply> reply);
  void Settle(v1::SettleRequest request, Reply<v1::SettleReply> reply);

  // Any other operation: Post([...](Ledger& ledger) { ledger.RevokeKey(id, now, reply); }). False: the queue
  // is full or stopped and `operation` was not taken.
  using Operation = absl::AnyInvocable<void(Ledger&)>;
  bool Post(Operation operation) ABSL_LOCKS_EXCLUDED(mutex_);

  // The same whatever the queue's bound is: for what the owner of an operation that was taken owes because of
  // it, so at most one of each. False: stopped.
  bool PostOwed(Operation operation) ABSL_LOCKS_EXCLUDED(mutex_);

  // As of the last commit that was tried; never waits for one.
  LedgerCounters counters() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The last commit that was tried failed: nobody is admitted until one succeeds.
  bool commits_fail() const ABSL_LOCKS_EXCLUDED(mutex_);
  // What is being applied or committed has been for longer than that: the disk does not answer.
  bool hangs() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes no more, runs and commits what is queued, joins. Idempotent; one caller.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  std::optional<std::vector<Operation>> TakeBatch(int64_t deadline_us) ABSL_LOCKS_EXCLUDED(mutex_);
  void ReapIfDue();
  void CommitOrWait();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Ledger* const ledger_;
  const Clock* const clock_;
  const LedgerThreadOptions options_;
  mutable Mutex mutex_;
  LedgerCounters counters_ ABSL_GUARDED_BY(mutex_);
  bool commits_fail_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<int64_t> busy_since_us_ ABSL_GUARDED_BY(mutex_);  // with a batch
  std::deque<Operation> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t reap_us_ = 0;   // the thread's own: when the reaper is due,
  int64_t retry_us_ = 0;  // and, while nothing is loaded, the next try
  std::thread thread_;
};

}  // namespace quire::coordinator
