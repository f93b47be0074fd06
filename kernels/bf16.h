// bfloat16 as raw bits: the upper half of an fp32. Pure functions for load-time code, references and tests;
// the compute kernels have vector forms with the same rounding (to nearest, ties to even).
#pragma once

#include <bit>
#include <cstdint>

namespace quire::kernels {

inline float Bf16ToFloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  if (is_nan) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace quire::kernels
