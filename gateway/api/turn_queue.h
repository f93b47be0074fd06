// Jobs that wait for a thread, in turns: each account that has any gets one done before the first account
// gets its second, so that nobody's backlog is in front of another's request. Any thread. Always: bounded, in
// all and per account; what is removed or refused was not begun.
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

  TurnQueue(size_t capacity, size_t capacity_per_account)
      : capacity_(capacity), capacity_per_account_(capacity_per_account) {}

  // nullopt: full, the account's share is full, or closed.
  std::optional<JobId> TryPush(const std::string& account, Job job) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for a job; nullopt once the queue is closed and empty.
  std::optional<Job> Pop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a job out again and destroys it; false where it was begun or done.
  bool Remove(const std::string& account, JobId id) ABSL_LOCKS_EXCLUDED(mutex_);
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiting {
    JobId id;
    Job job;
  };

  bool Ready() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || size_ > 0; }

  const size_t capacity_, capacity_per_account_;
  mutable Mutex mutex_;
  // Every account with a job is once in turns_, the next one first.
  absl::flat_hash_map<std::string, std::deque<Waiting>> by_account_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> turns_ ABSL_GUARDED_BY(mutex_);
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  JobId last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quire::gateway
