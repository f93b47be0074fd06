// Arithmetic whose bits are the same on every CPU: exp and log without the C library (which picks its variant
// by the machine), from elementwise IEEE operations only, so that a compiler may vectorize them at any width.
// And the sampler's noise. Pure functions, header only where they are to be inlined.
#pragma once

#include <bit>
#include <cstdint>

namespace quire::kernels {

// e^x for x <= 0, within 2 ulp; exactly 0 below -87 (and for -inf).
inline float ExpOfNegative(float x) {
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
  const float scale = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + 0x3F800000u);
  return x < -87.0f ? 0.0f : p * scale;
}

// ln(x) for a normal x > 0.
double LogOfPositive(double x);

// base^exponent for a normal base > 0 and a result within 1e-300..1e300, within 2 ulp.
double PowerOf(double base, double exponent);

// Uniform in [0, 1), a function of its arguments alone: Philox4x32-10 with the seed as key.
double UniformNoise(uint64_t seed, uint32_t choice, uint32_t position);

}  // namespace quire::kernels
