// What a rank's engine thread is about: its last few phases in shared memory, so that when a group hangs any
// rank can say who did not arrive, and where it stands. Written by its rank's engine thread, read by all.
// Zeroed memory is a valid, empty log.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace quire::worker {

// The waiting ones wait for another rank; a rank in one of the others is who the waiting wait for.
enum class Phase : uint8_t {
  kAbsent,    // it has not joined yet
  kStarting,  // reads configuration
  kLoading,   // reads weights
  kComputing,
  kAgreeing,     // waits for all ranks' records
  kExchanging,   // waits for all ranks' parts of a tensor
  kSendingPlan,  // waits for followers to take the last plan
  kAwaitingPlan,
  kIdle,
};
const char* PhaseName(Phase phase);
bool IsWaiting(Phase phase);

class PhaseLog {
 public:
  // `step` of the plan, `exchange`: how many there were in it.
  void Enter(Phase phase, uint64_t step, uint32_t exchange) {
    const uint32_t entered = entered_.load(std::memory_order_relaxed);
    entries_[entered % kKept].store(
        uint64_t{static_cast<uint8_t>(phase)} << 56 | (step & 0xffff'ffff) << 24 | (exchange & 0xff'ffff),
        std::memory_order_relaxed);
    entered_.store(entered + 1, std::memory_order_release);
  }
  Phase current() const;
  // "computing (step 12, after exchange 3); before: exchanging (...), ..." newest first.
  std::string Describe() const;

 private:
  static constexpr uint32_t kKept = 8;
  std::array<std::atomic<uint64_t>, kKept> entries_;  // phase, step, exchange in 8, 32 and 24 bits
  std::atomic<uint32_t> entered_;
};

}  // namespace quire::worker
