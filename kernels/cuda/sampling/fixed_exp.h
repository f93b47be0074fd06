// exp with the same bits on every machine, on the device: kernels/sampling/fixed_math.h's ExpOfNegative,
// operation by operation (a test compares them). Pure; needs a compiler that doesn't contract a * b + c.
#pragma once

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

// e^x for x <= 0, within 2 ulp; exactly 0 below -87 (and for -inf).
QUIRE_DEVICE float FixedExpOfNegative(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float scale = BitsToFloat((FloatToBits(shifted) << 23) + 0x3F800000u);
  return x < -87.0f ? 0.0f : p * scale;
}

}  // namespace quire::kernels::cuda
