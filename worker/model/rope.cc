#include "worker/model/rope.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "kernels/sampling/fixed_math.h"

namespace quire::worker {
namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;

// The (fractional) pair index whose wave turns `rotations` times over the original context.
double CorrectionPair(double rotations, double head_dim, double theta, double original_positions) {
  return head_dim * kernels::LogOfPositive(original_positions / (rotations * kTwoPi)) /
         (2.0 * kernels::LogOfPositive(theta));
}

// YaRN: fast-turning pairs keep their frequency, slow ones are interpolated, a linear ramp between.
void ScaleYarn(const RopeScaling& scaling, double theta, int64_t head_dim, std::vector<double>& inv_freq) {
  const auto original = static_cast<double>(scaling.original_max_positions);
  const auto dim = static_cast<double>(head_dim);
  double low = CorrectionPair(scaling.beta_fast, dim, theta, original);
  double high = CorrectionPair(scaling.beta_slow, dim, theta, original);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    inv_freq[i] = inv_freq[i] / scaling.factor * ramp + inv_freq[i] * (1.0 - ramp);
  }
}

// Llama 3: long waves are stretched by the factor, short ones kept, a smooth step between.
void ScaleLlama3(const RopeScaling& scaling, std::vector<double>& inv_freq) {
  const auto original = static_cast<double>(scaling.original_max_positions);
  for (double& frequency : inv_freq) {
    const double turns = original * frequency / kTwoPi;
    const double smooth = std::clamp(
        (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
    frequency = (1.0 - smooth) * frequency / scaling.factor + smooth * frequency;
  }
}

// With as many digits as it takes to tell it from any other.
std::string Exact(double number) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, number).ptr);
}

}  // namespace

RotaryFrequencies MakeRotaryFrequencies(const RopeScaling& scaling, double theta, int64_t head_dim) {
  RotaryFrequencies table;
  table.inv_freq.resize(head_dim / 2);
  for (size_t i = 0; i < table.inv_freq.size(); ++i) {
    table.inv_freq[i] =
        kernels::PowerOf(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  }
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    ScaleYarn(scaling, theta, head_dim, table.inv_freq);
    table.scale = scaling.attention_factor;
  } else if (scaling.kind == RopeScaling::Kind::kLlama3) {
    ScaleLlama3(scaling, table.inv_freq);
  }
  return table;
}

std::string RopeName(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kPlain:
      return "plain";
    case RopeScaling::Kind::kLlama3:
      return absl::StrCat("llama3:", Exact(scaling.factor), ":", scaling.original_max_positions, ":",
                          Exact(scaling.low_freq_factor), ":", Exact(scaling.high_freq_factor));
    case RopeScaling::Kind::kYarn:
      break;
  }
  return absl::StrCat("yarn:", Exact(scaling.factor), ":", scaling.original_max_positions, ":",
                      Exact(scaling.beta_fast), ":", Exact(scaling.beta_slow), ":",
                      Exact(scaling.attention_factor), scaling.truncate ? "" : ":exact");
}

}  // namespace quire::worker
