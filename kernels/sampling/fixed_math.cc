#include "kernels/sampling/fixed_math.h"

#include <array>
#include <cmath>

namespace quire::kernels {
namespace {

using Counter = std::array<uint32_t, 4>;

Counter Philox(Counter counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// ln 2 in two pieces: n times the first is exact for |n| < 2^20.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// ln(x) = exponent * ln 2 + mantissa.
struct LogParts {
  double exponent, mantissa;
};

LogParts LogPartsOf(double x) {
  constexpr double kSqrtHalf = 0.70710678118654752440;
  constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1022;
  // In [0.5, 1), then in [sqrt(1/2), sqrt(2)).
  double mantissa = std::bit_cast<double>((bits & kMantissa) | (uint64_t{1022} << 52));
  if (mantissa < kSqrtHalf) {
    mantissa *= 2.0;
    --exponent;
  }
  // ln(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.172: eleven odd terms reach double precision.
  const double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;
  double sum = 0.0;
  for (int odd = 21; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
  return {static_cast<double>(exponent), 2.0 * s * sum};
}

// e^(high + low), |low| small beside high.
double ExpOf(double high, double low) {
  constexpr double kLog2E = 1.44269504088896340736;
  const double n = std::floor(high * kLog2E + 0.5);
  const double r = ((high - n * kLn2High) - n * kLn2Low) + low;  // |r| <= 0.35
  double sum = 1.0;
  for (int i = 16; i >= 1; --i) sum = 1.0 + sum * r / i;
  return std::ldexp(sum, static_cast<int>(n));
}

}  // namespace

double LogOfPositive(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  const LogParts parts = LogPartsOf(x);
  return parts.exponent * kLn2 + parts.mantissa;
}

double PowerOf(double base, double exponent) {
  const LogParts log = LogPartsOf(base);
  const double high = log.exponent * kLn2High, low = log.exponent * kLn2Low + log.mantissa;
  const double product = exponent * high;
  return ExpOf(product, std::fma(exponent, high, -product) + exponent * low);
}

double UniformNoise(uint64_t seed, uint32_t choice, uint32_t position) {
  const Counter noise =
      Philox({position, choice, 0, 0}, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  const uint64_t bits = (uint64_t{noise[1]} << 32) | noise[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace quire::kernels
