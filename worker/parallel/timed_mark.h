// Which step or wait a rank is in, and how long it may take, in shared memory. Both stand in one word, so
// that nobody who reads it sees one step with the limit of another. Written by its rank's engine thread, read
// by every rank's beat thread. Zeroed memory is a valid mark: in none.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace quire::worker {

class TimedMark {
 public:
  struct Seen {
    uint64_t step = 0;  // 0: in none; another one for each
    int64_t limit_us = 0;
  };

  // `number` is another one each time. The limit is kept in whole milliseconds, rounded up.
  void Begin(uint64_t number, int64_t limit_us) {
    const int64_t limit_ms = std::clamp<int64_t>((limit_us + 999) / 1000, 1, kMaxLimitMs);
    word_.store(number << kLimitBits | static_cast<uint64_t>(limit_ms));
  }
  void End() { word_.store(0); }
  Seen Read() const {
    const uint64_t word = word_.load();
    if (word == 0) return {};
    return {(word >> kLimitBits) + 1, static_cast<int64_t>(word & kMaxLimitMs) * 1000};
  }

 private:
  static constexpr int kLimitBits = 40;  // 34 years; the number's last 24 bits tell steps apart
  static constexpr int64_t kMaxLimitMs = (int64_t{1} << kLimitBits) - 1;

  std::atomic<uint64_t> word_;
};

}  // namespace quire::worker
