// Time as an injected service, so that tests and the simulation move it: monotonic time is for leases, ages
// (CLOCK_BOOTTIME: it counts suspension), AwakeTime (awake_time.h) for patience with who sleeps when we do;
// wall time is only written down, never compared between machines. Any thread may call it.
#pragma once

#include <atomic>
#include <cstdint>

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

}  // namespace quire
