// The sampler's scans of whole rows (kernels/sampling/row_scans.h). Included after simd_math.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kRunVectors = kRunIds / kLanes;
static_assert(kRunVectors == 4);

// The bits of kernels/sampling/fixed_math.h's: the same operations, none of them fused.
inline F32 ExpOfNegative(F32 x) {
  const F32 round = Set1(12582912.0f);
  const F32 clamped = Max(x, Set1(-87.0f));
  const F32 n = Sub(Add(Mul(clamped, Set1(1.44269504f)), round), round);
  const F32 r = Sub(Sub(clamped, Mul(n, Set1(0.693359375f))), Mul(n, Set1(-2.12194440e-4f)));
  F32 p = Set1(1.0f / 5040.0f);
  p = Add(Mul(p, r), Set1(1.0f / 720.0f));
  p = Add(Mul(p, r), Set1(1.0f / 120.0f));
  p = Add(Mul(p, r), Set1(1.0f / 24.0f));
  p = Add(Mul(p, r), Set1(1.0f / 6.0f));
  p = Add(Mul(p, r), Set1(0.5f));
  p = Add(Mul(p, r), Set1(1.0f));
  p = Add(Mul(p, r), Set1(1.0f));
  return MulPowerOf2OrZero(p, n, x, Set1(-87.0f));
}

inline F32 MinusInfinity() { return Set1(-__builtin_inff()); }

// What is no number times zero is NaN, and stays it.
float RowMaxima(const float* values, int64_t ids, float* maxima) {
  F32 poison[kRunVectors] = {Zero(), Zero(), Zero(), Zero()};
  int64_t first = 0;
  for (; first + kRunIds <= ids; first += kRunIds) {
    F32 max = Load(values + first);
    poison[0] = Fma(max, Zero(), poison[0]);
    for (int64_t i = 1; i < kRunVectors; ++i) {
      const F32 value = Load(values + first + i * kLanes);
      poison[i] = Fma(value, Zero(), poison[i]);
      max = Max(max, value);
    }
    *maxima++ = MaxLanes(max);
  }
  float bad = SumLanes(Add(Add(poison[0], poison[1]), Add(poison[2], poison[3])));
  float max = -__builtin_inff();
  for (int64_t id = first; id < ids; ++id) {
    bad += values[id] * 0.0f;
    max = values[id] > max ? values[id] : max;
  }
  if (first < ids) *maxima = max;
  return bad;
}

// Returns the sum; stores to `out` unless it is null.
inline float WeighRun(const float* logits, F32 top, F32 scale, float* out) {
  F32 sum = Zero();
  for (int64_t i = 0; i < kRunIds; i += kLanes) {
    const F32 weight = ExpOfNegative(Mul(Sub(Load(logits + i), top), scale));
    sum = Add(sum, weight);
    if (out != nullptr) Store(out + i, weight);
  }
  return SumLanes(sum);
}

void WeighRuns(const WeighArgs& args) {
  const F32 top = Set1(args.top), scale = Set1(args.scale);
  for (int64_t i = 0; i < args.count; ++i) {
    const int64_t first = args.runs[i] * kRunIds, left = args.ids - first;
    const float* logits = args.logits + first;
    float last[kRunIds];
    if (left < kRunIds) {
      for (int64_t j = 0; j < kRunIds; ++j) last[j] = j < left ? logits[j] : -__builtin_inff();
      logits = last;
    }
    float* out = args.weights != nullptr ? args.weights + i * kRunIds : nullptr;
    args.sums[i] = WeighRun(logits, top, scale, out);
  }
}

void SumRuns(const float* weights, int64_t count, float bound, float* sums) {
  const F32 least = Set1(bound);
  for (int64_t i = 0; i < count; ++i) {
    F32 sum = Zero();
    for (int64_t j = 0; j < kRunIds; j += kLanes) {
      const F32 weight = Load(weights + i * kRunIds + j);
      sum = Add(sum, ZeroWhereLess(weight, least, weight));
    }
    sums[i] = SumLanes(sum);
  }
}

void MaskRow(const float* values, const uint32_t* words, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const uint32_t word = words[i / 32];
    Store(out + i, SelectBits(word & 0xffff, Load(values + i), MinusInfinity()));
    Store(out + i + 16, SelectBits(word >> 16, Load(values + i + 16), MinusInfinity()));
  }
  for (; i < count; ++i) out[i] = words[i / 32] >> (i % 32) & 1 ? values[i] : -__builtin_inff();
}

int64_t FindAtLeast(const float* values, int64_t count, float bound, int32_t* found) {
  const F32 least = Set1(bound);
  int64_t size = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (uint32_t bits = AtLeast(Load(values + i), least); bits != 0; bits &= bits - 1) {
      found[size++] = static_cast<int32_t>(i + __builtin_ctz(bits));
    }
  }
  for (; i < count; ++i) {
    if (values[i] >= bound) found[size++] = static_cast<int32_t>(i);
  }
  return size;
}

constexpr RowScans kRowScans = {RowMaxima, WeighRuns, SumRuns, MaskRow, FindAtLeast};

}  // namespace
}  // namespace quire::kernels::cpu
