// Counts open connections, in all and per client address, against their caps. Any thread.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"

#include "absl/time/time.h"
#include "base/core/mutex.h"

namespace quire::http {

class ConnectionLimiter {
 public:
  // max_per_address 0 = no bound per address.
  ConnectionLimiter(int max_total, int max_per_address)
      : max_total_(max_total), max_per_address_(max_per_address) {}

  enum class Room { kAdded, kFull, kAddressFull };
  // Counts nothing where a cap is reached.
  Room TryAdd(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (total_ >= max_total_) return Room::kFull;
    int& of_address = by_address_[address];
    if (max_per_address_ > 0 && of_address >= max_per_address_) return Room::kAddressFull;
    ++of_address;
    ++total_;
    return Room::kAdded;
  }

  void Remove(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    --total_;
    if (--by_address_[address] == 0) by_address_.erase(address);
  }

  // Waits until none is open; false where that takes longer.
  bool AwaitNone(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(this, &ConnectionLimiter::None), limit);
  }

 private:
  bool None() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return total_ == 0; }

  const int max_total_, max_per_address_;
  Mutex mutex_;
  int total_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, int> by_address_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::http
