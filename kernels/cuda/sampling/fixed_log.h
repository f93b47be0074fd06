// ln with the same bits on every machine, on the device: kernels/sampling/fixed_math.h's LogOfPositive,
// operation by operation (a test compares them). Pure; needs a compiler that doesn't contract a * b + c.
#pragma once

#include <cstdint>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

// ln(x) for a normal x > 0.
QUIRE_DEVICE double FixedLogOfPositive(double x) {
  constexpr double kSqrtHalf = 0.70710678118654752440, kLn2 = 0.693147180559945309417;
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  const uint64_t bits = DoubleToBits(x);
  int exponent = static_cast<int>(bits >> 52) - 1022;
  // In [0.5, 1), then in [sqrt(1/2), sqrt(2)).
  double mantissa = BitsToDouble((bits & kMantissa) | (uint64_t{1022} << 52));
  if (mantissa < kSqrtHalf) {
    mantissa = mantissa * 2.0;
    exponent = exponent - 1;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;
  double sum = 0.0;
  QUIRE_UNROLL
  for (int odd = 21; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
  return static_cast<double>(exponent) * kLn2 + 2.0 * s * sum;
}

}  // namespace quire::kernels::cuda
