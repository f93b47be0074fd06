#include "kernels/sampling/adjusted_row.h"

#include <algorithm>
#include <limits>

namespace quire::kernels {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

bool Penalizes(const SampleSpec& spec) { return spec.counts != nullptr && spec.params.penalizes(); }

bool IsIn(std::span<const float> row, TokenId id) { return id >= 0 && id < std::ssize(row); }

void Mask(std::span<const float> row, std::span<const uint32_t> allowed, const RowScans& scans,
          std::span<float> out) {
  const int64_t known = std::min(std::ssize(row), 32 * std::ssize(allowed));
  scans.mask(row.data(), allowed.data(), known, out.data());
  std::ranges::fill(out.subspan(static_cast<size_t>(known)), kOut);
}

void Penalize(const SampleSpec& spec, std::span<float> out) {
  const float penalty = spec.params.repetition_penalty;
  ForEachPenalty(spec, std::ssize(out), [&](TokenId id, float less) {
    float& logit = out[id];
    logit = logit > 0.0f ? logit / penalty : logit * penalty;
    logit -= less;  // 0 changes no bit
  });
}

}  // namespace

bool IsAdjusted(const SampleSpec& spec) {
  const SamplingParams& params = spec.params;
  return !spec.allowed.empty() || !params.logit_bias.empty() || !params.masked_ids.empty() || Penalizes(spec);
}

void AdjustRow(std::span<const float> row, const SampleSpec& spec, const RowScans& scans,
               std::span<float> out) {
  if (spec.allowed.empty()) {
    std::ranges::copy(row, out.begin());
  } else {
    Mask(row, spec.allowed, scans, out);
  }
  for (const auto& [id, bias] : spec.params.logit_bias) {
    if (IsIn(row, id)) out[id] += bias;
  }
  for (const TokenId id : spec.params.masked_ids) {
    if (IsIn(row, id)) out[id] = kOut;
  }
  Penalize(spec, out);
}

}  // namespace quire::kernels
