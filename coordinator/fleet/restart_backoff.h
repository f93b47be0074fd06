// How long a group that ended waits for its restart: the first restart is fast, then 1, 2, 4 ... 60 s; a run
// that served for a minute (from its Register on: loading doesn't count, however long it takes) starts the
// series anew; one that ended for what a restart can't help has the longest wait at once. Pure; owned by
// ProcessDriver, one per group.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quire::coordinator {

class RestartBackoff {
 public:
  struct Limits {
    int64_t first_ms = 100;
    int64_t second_ms = 1'000;
    int64_t max_ms = 60'000;
    int64_t healthy_ms = 60'000;
  };

  explicit RestartBackoff(const Limits& limits) : limits_(limits), next_ms_(limits.first_ms) {}

  // A run ended that had served for so long.
  void CountRun(int64_t served_ms) {
    if (served_ms >= limits_.healthy_ms) next_ms_ = limits_.first_ms;
  }
  // The last run's end is such that the next one's will be the same, unless somebody mends something.
  void ExpectNoHelp() { next_ms_ = limits_.max_ms; }
  // How long to wait now; longer the next time.
  int64_t TakeDelay() {
    const int64_t delay_ms = next_ms_;
    next_ms_ = std::min(std::max(limits_.second_ms, next_ms_ * 2), limits_.max_ms);
    return delay_ms;
  }

 private:
  const Limits limits_;
  int64_t next_ms_;
};

}  // namespace quire::coordinator
