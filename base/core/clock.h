// Time as an injected service: everything that reads a clock takes a Clock&, so that tests and the simulation
// move time by hand. Monotonic time is for what goes on while this machine sleeps: leases, ages, what others
// count too (CLOCK_BOOTTIME: suspended time is in it). Patience with somebody who sleeps when we do (for
// room, for a child's end) is counted in AwakeTime, so that on waking nobody is found late. Wall time is only
// written down, never compared between machines. Any thread may call a Clock.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

namespace quire {

class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds since an arbitrary start, never going back.
  virtual int64_t NowUs() const = 0;
  // Milliseconds since 1970 UTC.
  virtual int64_t UnixMs() const = 0;

  int64_t NowMs() const { return NowUs() / 1000; }
};

class SystemClock final : public Clock {
 public:
  int64_t NowUs() const override;
  int64_t UnixMs() const override;
};

// A clock that stands still until it is moved.
class ManualClock final : public Clock {
 public:
  int64_t NowUs() const override { return now_us_.load(); }
  int64_t UnixMs() const override { return unix_start_ms_ + now_us_.load() / 1000; }
  void AdvanceUs(int64_t us) { now_us_.fetch_add(us); }
  void AdvanceMs(int64_t ms) { AdvanceUs(ms * 1000); }

 private:
  std::atomic<int64_t> now_us_{0};
  const int64_t unix_start_ms_ = 1'700'000'000'000;
};

// The time for which this process was awake. Whoever is patient by it looks at least once a round; a gap
// between two looks counts for two rounds at most, however long it was: the host slept, or all of its
// processes were held. A value; its owner guards it.
class AwakeTime {
 public:
  static constexpr int64_t kRoundUs = 1'000'000;

  // The clock outlives it.
  explicit AwakeTime(const Clock& clock) : clock_(clock), last_us_(clock.NowUs()) {}

  // A look: microseconds since it was made, never going back.
  int64_t NowUs() {
    const int64_t now_us = clock_.NowUs();
    awake_us_ += std::min(now_us - std::exchange(last_us_, now_us), 2 * kRoundUs);
    return awake_us_;
  }

 private:
  const Clock& clock_;
  int64_t last_us_, awake_us_ = 0;
};

}  // namespace quire
