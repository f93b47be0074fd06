// Whether the coordinator that started this group is gone for good: nobody answered for 15 minutes, and
// nobody has its data folder (whose lock a coordinator holds). Time that a sleeping machine lets pass hardly
// counts: late is not dead. Owned by CoordinatorLink, used by its thread.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "base/core/clock.h"
#include "base/process/lock_probe.h"

namespace quire::worker {

class OwnerWatch {
 public:
  static constexpr int64_t kPatienceUs = 15LL * 60 * 1'000'000;
  // Tries come every second or so; a longer gap means that this process slept.
  static constexpr int64_t kMostPerTryUs = 60LL * 1'000'000;

  // No lock file: nobody owns the group, and it waits for ever.
  OwnerWatch(std::string lock_file, const Clock& clock) : lock_file_(std::move(lock_file)), clock_(clock) {}

  // A coordinator has answered up to now.
  void Heard() {
    absent_us_ = 0;
    last_us_ = clock_.NowUs();
  }
  // A try to reach one failed. True: it is gone for good.
  bool Missed() {
    const int64_t now_us = clock_.NowUs();
    absent_us_ += std::min(now_us - std::exchange(last_us_, now_us), kMostPerTryUs);
    if (lock_file_.empty() || absent_us_ < kPatienceUs) return false;
    absent_us_ = 0;  // whoever holds the lock gets the same time again
    return ProbeLock(lock_file_) == LockState::kFree;
  }

 private:
  const std::string lock_file_;
  const Clock& clock_;
  int64_t last_us_ = clock_.NowUs(), absent_us_ = 0;
};

}  // namespace quire::worker
