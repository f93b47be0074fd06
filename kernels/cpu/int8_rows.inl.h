// Rows of x made int8: QuantizeRow of kernels/int8_rows.h, bit by bit, and what each group's sum of products
// with unsigned weights starts from. Included after simd_int8_*.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

// One group of 16 * kVectors.
template <int kVectors>
inline void QuantizeGroup(const uint16_t* x, int8_t* q, float* scale, int32_t* start) {
  F32 values[kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const F32 value = LoadBf16(x + i * kLanes);
    const F32 kept = ZeroWhereLess(Abs(value), Set1(0x1p-60f), value);
    values[i] = Butterfly<8>(Butterfly<4>(Butterfly<2>(Butterfly<1>(kept))));
  }
#pragma GCC unroll 3
  for (int stride = 1; stride < kVectors; stride *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      if ((i & stride) != 0) continue;
      const F32 a = values[i], b = values[i + stride];
      values[i] = Add(a, b);
      values[i + stride] = Sub(a, b);
    }
  }
  F32 most = Zero();
  uint32_t finite = 0xffff;
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const F32 size = Abs(values[i]);
    finite &= AtLeast(Set1(__FLT_MAX__), size);
    most = Max(most, size);
  }
  const float largest = MaxLanes(most);
  uint32_t bits;
  const float exact = largest / 127;
  __builtin_memcpy(&bits, &exact, sizeof bits);
  bits = (bits + 0xffffu) & 0xffff0000u;  // up to a bf16
  __builtin_memcpy(scale, &bits, sizeof bits);
  const bool usable = finite == 0xffff;
  const F32 inverse = Set1(usable && largest > 0 ? 1 / *scale : 0.0f);
  I32 sum = SetInt(0);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const I32 rounded = usable ? RoundToInt(Mul(values[i], inverse)) : SetInt(0);
    StoreInt8(q + i * kLanes, rounded);
    sum = AddInt(sum, rounded);
  }
  if (!usable) *scale = __builtin_nanf("");
  *start = -128 * SumOfLanes(sum);
}

void QuantizeX(const uint16_t* x, int64_t k, int64_t group, int8_t* q, float* scales, int32_t* starts) {
  for (int64_t at = 0; at < k; at += group, ++scales, ++starts) {
    if (group == 128) QuantizeGroup<8>(x + at, q + at, scales, starts);
    if (group == 64) QuantizeGroup<4>(x + at, q + at, scales, starts);
    if (group == 32) QuantizeGroup<2>(x + at, q + at, scales, starts);
  }
}

}  // namespace
}  // namespace quire::kernels::cpu
