// Kernels over one row: norm, rotation, rounding. Included after simd_math.inl.h.
#pragma once

namespace quire::kernels::cpu {
namespace {

constexpr int64_t kStep = 4 * kLanes;

F32 InverseRms(const F32* squares, int64_t n, float eps) {
  const float sum = SumLanes(Add(Add(squares[0], squares[1]), Add(squares[2], squares[3])));
  return Set1(1.0f / __builtin_sqrtf(sum / static_cast<float>(n) + eps));
}

// Four sums in parallel hide the latency; which element goes into which depends on its index alone.
void RmsNorm(float* x, const float* delta, const float* weight, int64_t n, float eps, uint16_t* out) {
  F32 squares[4] = {Zero(), Zero(), Zero(), Zero()};
  for (int64_t i = 0; i < n; i += kStep) {
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t at = i + j * kLanes, left = n - at;
      if (left <= 0) break;
      F32 value = left >= kLanes ? Load(x + at) : LoadFirst(x + at, left);
      if (delta != nullptr) {
        value = Add(value, left >= kLanes ? Load(delta + at) : LoadFirst(delta + at, left));
        StoreFirst(x + at, left, value);
      }
      squares[j] = Fma(value, value, squares[j]);
    }
  }
  const F32 inverse = InverseRms(squares, n, eps);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    const F32 value = Mul(LoadFirst(x + i, left), inverse);
    StoreBf16First(out + i, left, Mul(value, LoadFirst(weight + i, left)));
  }
}

void NormHead(const float* x, const float* weight, int64_t n, float eps, float* out) {
  F32 squares[4] = {Zero(), Zero(), Zero(), Zero()};
  for (int64_t i = 0; i < n; i += kLanes) {
    F32& sum = squares[i / kLanes % 4];
    const F32 value = LoadFirst(x + i, n - i);
    sum = Fma(value, value, sum);
  }
  const F32 inverse = InverseRms(squares, n, eps);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t left = n - i;
    StoreFirst(out + i, left, Mul(Mul(LoadFirst(x + i, left), inverse), LoadFirst(weight + i, left)));
  }
}

void Rotate(const float* x, const float* cosine, const float* sine, int64_t half, uint16_t* out) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t left = half - i;
    const F32 first = LoadFirst(x + i, left), second = LoadFirst(x + half + i, left);
    const F32 c = LoadFirst(cosine + i, left), s = LoadFirst(sine + i, left);
    StoreBf16First(out + i, left, Sub(Mul(first, c), Mul(second, s)));
    StoreBf16First(out + half + i, left, Add(Mul(second, c), Mul(first, s)));
  }
}

void RowToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += kLanes) StoreBf16First(out + i, n - i, LoadFirst(x + i, n - i));
}

void DotOnePair(const uint16_t* w, const uint16_t* x, float* acc) {
  Store(acc, DotPairs(Load(acc), LoadPairs(w), LoadPairs(x)));
}

}  // namespace
}  // namespace quire::kernels::cpu
