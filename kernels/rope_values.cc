#include "kernels/rope_values.h"

#include <cmath>

namespace quire::kernels {
namespace {

// pi/2 in pieces of 33 bits: n times either of the first two is exact for n < 2^20.
constexpr double kHalfPiHigh = 0x1.921fb544p+0;
constexpr double kHalfPiMiddle = 0x1.0b4611a6p-34;
constexpr double kHalfPiLow = 0x1.3198a2e037073p-69;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

// Taylor series for |x| <= pi/4; what is left out is below 1e-18.
double SineNearZero(double x) {
  const double square = x * x;
  double sum = 1;
  for (int i = 18; i >= 2; i -= 2) sum = 1 - sum * square / (i * (i + 1));
  return x * sum;
}

double CosineNearZero(double x) {
  const double square = x * x;
  double sum = 1;
  for (int i = 19; i >= 1; i -= 2) sum = 1 - sum * square / (i * (i + 1));
  return sum;
}

}  // namespace

SinCos SinCosOf(double angle) {
  const double quarters = std::floor(angle * kTwoOverPi + 0.5);
  const double rest = ((angle - quarters * kHalfPiHigh) - quarters * kHalfPiMiddle) - quarters * kHalfPiLow;
  const double sine = SineNearZero(rest), cosine = CosineNearZero(rest);
  switch (static_cast<int64_t>(quarters) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

void FillRopeValues(std::span<const double> inv_freq, double scale, int64_t position, float* out) {
  const int64_t half = std::ssize(inv_freq);
  for (int64_t i = 0; i < half; ++i) {
    const SinCos value = SinCosOf(static_cast<double>(position) * inv_freq[i]);
    out[i] = static_cast<float>(value.cosine * scale);
    out[half + i] = static_cast<float>(value.sine * scale);
  }
}

}  // namespace quire::kernels
