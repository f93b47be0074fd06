// A row of logits as a spec's bias, masks and penalties leave it, before any of it is weighed. Pure; any
// thread calls it.
#pragma once

#include <span>

#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

bool IsAdjusted(const SampleSpec& spec);

// out = the row, adjusted; ids at or beyond its end are nobody's.
void AdjustRow(std::span<const float> row, const SampleSpec& spec, const RowScans& scans,
               std::span<float> out);

}  // namespace quire::kernels
