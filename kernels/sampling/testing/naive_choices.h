// The check that the sampler chooses what the naive one does, bit by bit, on all of sampler_cases.h.
// Test-only; expects what differs as GoogleTest does.
#pragma once

#include <cstdint>

#include "kernels/sampling/row_scans.h"

namespace quire::kernels {

// That a sampler over these scans fails, keeps, weighs, picks and tells logprobs as the naive one does.
void ExpectNaiveChoices(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed);

}  // namespace quire::kernels
