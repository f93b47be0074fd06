// cos and sin of position * inv_freq, from own arithmetic in fp64, so that the bits of a token do not depend
// on the machine's math library. Pure functions; what every backend's tables are filled by.
#pragma once

#include <cstdint>
#include <span>

namespace quire::kernels {

struct SinCos {
  double sine, cosine;
};
// For 0 <= angle <= kMaxPositions (shape_check.h), within 1e-15 or so.
SinCos SinCosOf(double angle);

// One position's part of a table: out [2][inv_freq.size()], the cosines and then the sines, times the scale.
void FillRopeValues(std::span<const double> inv_freq, double scale, int64_t position, float* out);

}  // namespace quire::kernels
