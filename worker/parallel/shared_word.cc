#include "worker/parallel/shared_word.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace quire::worker {
namespace {

// Not FUTEX_PRIVATE: the word is shared between processes.
void FutexWait(std::atomic<uint32_t>* word, uint32_t seen) {
  syscall(SYS_futex, word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Pause() { __builtin_ia32_pause(); }

}  // namespace

int64_t MonotonicUs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void SharedWord::Advance() {
  uint32_t seen = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(seen, (seen & kLost) | ((seen + 1) & kMask))) {
  }
  if (sleepers_.load() > 0) FutexWakeAll(&word_);
}

void SharedWord::MarkLost() {
  word_.fetch_or(kLost);
  FutexWakeAll(&word_);
}

bool SharedWord::WaitFor(uint32_t target, int64_t spin_us) {
  const int64_t spin_end_us = spin_us > 0 ? MonotonicUs() + spin_us : 0;
  bool spinning = spin_us > 0;
  for (uint32_t turn = 1;; ++turn) {
    const uint32_t seen = word_.load(std::memory_order_acquire);
    if (seen & kLost) return false;
    if (Reached(seen, target)) return true;
    if (spinning) {
      Pause();
      if (turn % 64 == 0) spinning = MonotonicUs() < spin_end_us;
      continue;
    }
    sleepers_.fetch_add(1);
    FutexWait(&word_, seen);
    sleepers_.fetch_sub(1);
  }
}

}  // namespace quire::worker
