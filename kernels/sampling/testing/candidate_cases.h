// Rows cut into the parts of several ranks: what candidates.h leaves of them gives the whole row's token, bit
// by bit. Test-only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sampling/candidates.h"
#include "kernels/sampling/row_scans.h"

namespace quire::kernels {

// What rank 0 has of a row.
struct GatheredRow {
  std::vector<float> logits;
  std::vector<int32_t> runs;
};

// `begins`: of each rank's ids, multiples of kRunIds, the first 0; the last rank's end with the row.
GatheredRow GatherCandidates(const RowScans& scans, std::span<const float> row, const RowNeed& need,
                             std::span<const int64_t> begins);

// Of rows of so many ids, on 1 to 8 ranks, by the specs that don't need the whole row: tokens, what they were
// picked from, and failures are those of the whole row.
void ExpectCandidatesSuffice(const RowScans& scans, int64_t ids, int64_t specs_per_row, uint32_t seed);

}  // namespace quire::kernels
