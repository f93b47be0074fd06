// A row of logits as a spec's bias, masks and penalties leave it, before any of it is weighed. Pure; any
// thread calls it. Order: the grammar's mask, bias, masked ids, penalties.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

bool IsAdjusted(const SampleSpec& spec);

// out = the row, adjusted; ids at or beyond its end are nobody's.
void AdjustRow(std::span<const float> row, const SampleSpec& spec, const RowScans& scans,
               std::span<float> out);

// take(id, less) for each id below `ids` that the spec's penalties look at, in any order: its logit, divided
// by repetition_penalty or multiplied with it, falls by `less`.
template <typename Take>
void ForEachPenalty(const SampleSpec& spec, int64_t ids, const Take& take) {
  const SamplingParams& params = spec.params;
  if (spec.counts == nullptr || !params.penalizes()) return;
  for (const auto& [id, count] : spec.counts->counts()) {
    const auto made = count.output - static_cast<int32_t>(std::ranges::count(spec.uncounted, id));
    if (id < 0 || id >= ids || (made == 0 && !count.in_prompt)) continue;
    take(id, made > 0 ? params.frequency_penalty * static_cast<float>(made) + params.presence_penalty : 0.0f);
  }
}

}  // namespace quire::kernels
