#include "worker/engine/step_costs.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/core/hash.h"

namespace quire::worker {
namespace {

// All relative: a step of a small model takes a millisecond, one of a large model seconds.
constexpr double kNoise = 0.1;         // standard deviation of a step's time, at least
constexpr double kSurprise = 4;        // standard deviations that are no noise any more
constexpr double kCommonDrift = 0.05;  // per step: the machine gets slower or faster, all prices together
constexpr double kOwnDrift = 0.01;     // and one price beside the others
constexpr double kLeastPart = 0.02;    // of a step's time; a smaller price may still grow as if it were this
constexpr double kErrorWeight = 1.0 / 16, kMostError = 0.5;
// Mean errors that are added: on a noisy machine nine steps of ten end by a limit then, not half of them, for
// 2 % fewer prompt tokens/s (simulated at +-20 %). What is noisier than that can't be kept in time anyway.
constexpr double kCaution = 3, kMostCaution = 0.3;

double Dot(const std::array<double, 4>& a, const std::array<double, 4>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
}

}  // namespace

double StepPrices::TimeOf(const StepWork& work) const {
  return step_us + decode_row_us * static_cast<double>(work.decode_rows) +
         prompt_row_us * static_cast<double>(work.prompt_rows) + key_us * static_cast<double>(work.keys);
}

// The larger root n of key/2 n^2 + row n = us, in the form that also stands for key = 0.
int64_t StepPrices::PromptRowsWithin(double us, int64_t position) const {
  constexpr auto kAll = std::numeric_limits<int64_t>::max();
  if (us <= 0) return 0;
  const double row = prompt_row_us + key_us * (static_cast<double>(position) + 0.5);
  const double rows = 2 * us / (row + std::sqrt(row * row + 2 * key_us * us));
  return rows < 1e15 ? static_cast<int64_t>(rows) : kAll;  // NaN too: time without end, or no price
}

// A Kalman filter. The measured quantity is 1: the step's own time, in units of itself, to which a price
// contributes its part of `parts`; so nothing here depends on how fast the machine is.
void StepCosts::Observe(const StepWork& work, int64_t took_us) {
  const double took = static_cast<double>(std::max<int64_t>(took_us, 1));
  const Vector parts = {1 / took, static_cast<double>(work.decode_rows) / took,
                        static_cast<double>(work.prompt_rows) / took, static_cast<double>(work.keys) / took};
  Loosen(parts, kCommonDrift, kOwnDrift);
  Vector spread;
  for (int i = 0; i < kPrices; ++i) spread[i] = Dot(covariance_[i], parts);
  const double variance = Dot(spread, parts) + kNoise * kNoise;
  const double off = 1 - Dot(prices_, parts);
  const bool surprise = off * off > kSurprise * kSurprise * variance;
  const int direction = !surprise ? 0 : off > 0 ? 1 : -1;
  const int before = std::exchange(surprise_[work.prompt_rows > 0 ? 1 : 0], direction);
  if (surprise && direction != before) return;
  if (surprise) Loosen(parts, 1, 1);
  Correct(parts);
  most_prompt_rows_ = std::max(most_prompt_rows_, work.prompt_rows);
}

void StepCosts::Loosen(const Vector& parts, double common, double own) {
  for (int i = 0; i < kPrices; ++i) {
    const bool first = parts[i] > 0 && covariance_[i][i] == 0;
    const double scale =
        first ? 1 / parts[i] : std::max(prices_[i], parts[i] > 0 ? kLeastPart / parts[i] : 0);
    const double change = first ? scale : own * scale;  // at first the whole step may be this one's part
    for (int j = 0; j < kPrices; ++j) covariance_[i][j] += common * common * prices_[i] * prices_[j];
    if (covariance_[i][i] < scale * scale) covariance_[i][i] += change * change;
  }
}

void StepCosts::Correct(const Vector& parts) {
  Vector spread;
  for (int i = 0; i < kPrices; ++i) spread[i] = Dot(covariance_[i], parts);
  const double variance = Dot(spread, parts) + kNoise * kNoise;
  const double off = 1 - Dot(prices_, parts);
  for (int i = 0; i < kPrices; ++i) {
    prices_[i] += spread[i] / variance * off;
    for (int j = 0; j < kPrices; ++j) covariance_[i][j] -= spread[i] * spread[j] / variance;
  }
  KeepFromBelowZero();
  const double left = std::min(std::abs(1 - Dot(prices_, parts)), kMostError);
  error_ += (left - error_) * kErrorWeight;
}

// A price that came out negative is zero, and the others are what they most probably are where it is.
void StepCosts::KeepFromBelowZero() {
  for (int i = 0; i < kPrices; ++i) {
    if (prices_[i] >= 0 || covariance_[i][i] <= 0) continue;
    const double shift = prices_[i] / covariance_[i][i];
    for (int j = 0; j < kPrices; ++j) prices_[j] -= shift * covariance_[i][j];
  }
  for (double& price : prices_) price = std::max(0.0, price);
}

StepPrices StepCosts::prices() const {
  const double raised = 1 + std::min(kCaution * error_, kMostCaution);
  // The first measure is of one block; from then on at most twice what was seen.
  const int64_t known = std::max<int64_t>(kBlockTokens, 2 * most_prompt_rows_);
  return {prices_[0] * raised, prices_[1] * raised, prices_[2] * raised, prices_[3] * raised, known};
}

}  // namespace quire::worker
