// What this machine can do at best, measured now: the lines that kernel figures are quoted against. Memory
// and clocks drift for minutes at a time, so benches measure them right before and after their own run.
// Benches only.
#pragma once

#include <cstddef>
#include <memory>

namespace quire::bench {

struct Ceilings {
  double read_gb_s = 0;     // all threads reading huge pages of memory far larger than the caches
  double bf16_gflop_s = 0;  // all threads issuing vdpbf16ps (or the AVX2 steps that equal it), no memory
  double amx_gflop_s = 0;   // all threads issuing tdpbf16ps on full tiles, no memory; 0 = no AMX here
  double int8_gop_s = 0;    // all threads issuing vpdpbusd of AVX-512, no memory; 0 = no VNNI here
};

// Wall seconds, or with cpu_time those that this process computed (for one thread on a busy machine).
double Now(bool cpu_time);

class CeilingMeter {
 public:
  // cpu_time needs threads == 1.
  CeilingMeter(int threads, bool cpu_time);
  ~CeilingMeter();
  // Takes some 50 ms.
  Ceilings Measure();

 private:
  static constexpr size_t kBytes = size_t{256} << 20;
  const int threads_;
  const bool cpu_time_, amx_;
  void* memory_;
};

}  // namespace quire::bench
