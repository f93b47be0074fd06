// What a rank says of itself in a beat over TCP: text, since it is small and rare. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace quire::worker {

inline constexpr size_t kMostBeatBytes = 16384;

struct Beat {
  uint64_t beats = 0;
  bool left = false, drain_asked = false, lost = false, waiting = false;
  uint64_t step = 0;
  int64_t step_limit_us = 0;
  std::string doing, reason;  // reason: why the group is lost
};

std::string EncodeBeat(const Beat& beat);
// nullopt: no beat.
std::optional<Beat> DecodeBeat(const std::string& text);

}  // namespace quire::worker
