// Jobs that wait for a thread, in turns: each account that has any gets one done before the first account
// gets its second, so that nobody's backlog is in front of another's request; and an account runs only so
// many at once, so that its long ones leave a thread to others. Any thread. Always: bounded, in all and per
// account; what is removed or refused was not begun; Done follows each Pop.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "base/core/mutex.h"

namespace quire::gateway {

class TurnQueue {
 public:
  using Job = absl::AnyInvocable<void()>;
  using JobId = uint64_t;

  struct Limits {
    size_t waiting, waiting_per_account, running_per_account;
  };
  struct Turn {
    std::string account;
    Job job;
  };

  explicit TurnQueue(Limits limits) : limits_(limits) {}

  // nullopt: full, the account's share is full, or closed.
  std::optional<JobId> TryPush(const std::string& account, Job job) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for a job that may run; nullopt once the queue is closed and empty.
  std::optional<Turn> Pop() ABSL_LOCKS_EXCLUDED(mutex_);
  // The account's job that Pop gave has ended.
  void Done(const std::string& account) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a job out again and destroys it; false where it was begun or done.
  bool Remove(const std::string& account, JobId id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiting {
    JobId id;
    Job job;
  };

  bool Ready() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !turns_.empty() || (closed_ && size_ == 0);
  }
  bool MayRun(const std::string& account) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<std::string, std::deque<Waiting>> by_account_ ABSL_GUARDED_BY(mutex_);
  // Of the accounts that have any.
  absl::flat_hash_map<std::string, size_t> running_ ABSL_GUARDED_BY(mutex_);
  // Every account with a job that may run is in it once, the next one first.
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mutex_);
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  JobId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quire::gateway
