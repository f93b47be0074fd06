// The time for which this process was awake. Whoever is patient by it looks at least once a round while it
// waits; a gap between two looks counts for two rounds at most, however long it was: the host slept, or all
// its processes were held. So a pause of everybody ends nobody's patience, and on a machine that is always
// late it ends all the same, later. A value; its owner guards it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/core/clock.h"

namespace quire {

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
