// FTZ and DAZ for the current scope: vdpbf16ps always flushes denormals, so every other instruction must too,
// or AVX2 and AVX-512 would differ. Held by each op on the engine's thread and for life by the pool's
// threads.
#pragma once

#include <xmmintrin.h>

namespace quire::kernels::cpu {

class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  const unsigned saved_;
};

}  // namespace quire::kernels::cpu
