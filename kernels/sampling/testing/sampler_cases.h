// Rows of logits and ways to sample from them that a sampler could get wrong, and the check that it chooses
// what the naive one does, bit by bit. Test-only.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/sampling/row_scans.h"
#include "kernels/sampling/sample_spec.h"

namespace quire::kernels {

// Each kind once: spread wide and narrow, many ties, all equal, one peak, two steps, the ends of fp32.
std::vector<std::vector<float>> UglyRows(int64_t ids, uint32_t seed);

// Of any of the parameters, `count` combinations; every fifth has bias, masks and penalties,
// every seventh a grammar's mask.
std::vector<SampleSpec> AssortedSpecs(int64_t ids, int64_t count, uint32_t seed);

// That a sampler over these scans fails, keeps, weighs, picks and tells logprobs as the naive one does.
void ExpectNaiveChoices(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed);

}  // namespace quire::kernels
