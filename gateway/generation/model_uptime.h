// For which share of the time that it was looked at a model had a worker group ready, of the last day. Pure;
// no thread's own. Always: bounded, by kMost changes: where there were more, it tells of the time since the
// oldest one kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace quire::gateway {

class ModelUptime {
 public:
  static constexpr int64_t kWindowUs = 86'400'000'000;
  static constexpr size_t kMost = 256;

  // How it is from now on.
  void Saw(bool ready, int64_t now_us);
  // 0..1; null: it was never looked at.
  std::optional<double> Share(int64_t now_us) const;

 private:
  struct Change {
    int64_t at_us = 0;
    bool ready = false;
  };
  std::deque<Change> changes_;
};

}  // namespace quire::gateway
