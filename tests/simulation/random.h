// The simulation's only source of chance: a seed's run is the same on every machine (no standard
// distributions, whose results are the library's own affair). One thread.
#pragma once

#include <cstdint>

namespace quire::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}

  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // Uniform in [low, high].
  int64_t In(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }
  bool Percent(int64_t percent) { return In(0, 99) < percent; }

 private:
  uint64_t state_;
};

}  // namespace quire::simulation
