// Eight consecutive elements of a row, in fp32, from bf16 or fp32 memory that is 16-byte aligned. What the
// kernels that go over rows are made of; device code.
#pragma once

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

QUIRE_DEVICE void Load8(const float* from, float (&to)[8]) {
  QUIRE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Word128 v = Load128(from + half * 4);
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) to[half * 4 + i] = BitsToFloat(v.word[i]);
  }
}

QUIRE_DEVICE void Load8(const uint16_t* from, float (&to)[8]) {
  const Word128 v = Load128(from);
  QUIRE_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = BitsToFloat(v.word[i] << 16);
    to[2 * i + 1] = BitsToFloat(v.word[i] & 0xffff0000u);
  }
}

QUIRE_DEVICE void Store8(float* to, const float (&from)[8]) {
  QUIRE_UNROLL
  for (int half = 0; half < 2; ++half) {
    Word128 v;
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) v.word[i] = FloatToBits(from[half * 4 + i]);
    Store128(to + half * 4, v);
  }
}

QUIRE_DEVICE void Store8(uint16_t* to, const float (&from)[8]) {
  Word128 v;
  QUIRE_UNROLL
  for (int i = 0; i < 4; ++i) v.word[i] = PackBf16(from[2 * i], from[2 * i + 1]);
  Store128(to, v);
}

}  // namespace quire::kernels::cuda
