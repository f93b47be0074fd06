#include "kernels/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

#include "base/core/status.h"
#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {
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

// Positions that a thread takes at once: some 10,000 sines and cosines.
constexpr int64_t kTogether = 128;

// out [2][half]
void FillPosition(std::span<const double> inv_freq, double scale, int64_t position, float* out) {
  const int64_t half = std::ssize(inv_freq);
  for (int64_t i = 0; i < half; ++i) {
    const SinCos value = SinCosOf(static_cast<double>(position) * inv_freq[i]);
    out[i] = static_cast<float>(value.cosine * scale);
    out[half + i] = static_cast<float>(value.sine * scale);
  }
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

absl::StatusOr<RopeTable> RopeTable::Create(std::span<const double> inv_freq, double scale, int64_t positions,
                                            Arena& arena, ThreadPool& pool) {
  const int64_t half = std::ssize(inv_freq);
  QUIRE_ASSIGN_OR_RETURN(float* data, arena.AllocateArray<float>(positions * half * 2));
  const FlushDenormals flush;  // as the pool's threads have it: an entry's bits are those of any thread
  pool.ForEach((positions + kTogether - 1) / kTogether, [&](int64_t block) {
    const int64_t first = block * kTogether, last = std::min(positions, first + kTogether);
    for (int64_t position = first; position < last; ++position) {
      FillPosition(inv_freq, scale, position, data + position * 2 * half);
    }
  });
  return RopeTable(data, half, positions);
}

}  // namespace quire::kernels::cpu
