// A counter in memory that processes (or threads) share: one owner raises it, others wait for a value.
// Waiting spins for a bounded time, then sleeps on a futex; nobody polls. Any thread may mark the word lost,
// which wakes every waiter for good: that is how a dead rank ends the waits of the living. Zeroed memory is a
// valid SharedWord.
#pragma once

#include <atomic>
#include <cstdint>

namespace quire::worker {

class SharedWord {
 public:
  // Values wrap at 2^30; waits compare within half of that.
  static constexpr uint32_t kMask = (1u << 30) - 1;

  // Owner only: raises the value by one and wakes waiters. Everything written before is visible to who saw
  // the value.
  void Advance();
  uint32_t value() const { return word_.load(std::memory_order_acquire) & kMask; }
  // True once the value reached `target`; false if the word is lost, which is how every wait ends that takes
  // too long (RankGroup watches that). Spins up to spin_us before sleeping.
  bool WaitFor(uint32_t target, int64_t spin_us);
  void MarkLost();
  bool lost() const { return (word_.load(std::memory_order_acquire) & kLost) != 0; }

 private:
  static constexpr uint32_t kLost = 1u << 31;
  static bool Reached(uint32_t word, uint32_t target) {
    return (((word & kMask) - target) & kMask) < kMask / 2;
  }

  std::atomic<uint32_t> word_;
  std::atomic<uint32_t> sleepers_;
};

// Microseconds of CLOCK_MONOTONIC.
int64_t MonotonicUs();

}  // namespace quire::worker
