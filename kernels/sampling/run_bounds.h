// Which runs of a row may hold an id that sampling keeps: what the sampler weighs by, and what a rank sends
// by, in one place, since one has to leave out no more than the other. Pure but for the buffers; any thread.
#pragma once

#include <span>
#include <vector>

#include "kernels/sampling/row_scans.h"

namespace quire::kernels {

// Below it 1 / temperature would overflow on the way; the distribution is a point long before.
inline constexpr float kGreedyBelow = 1e-5f;
// Weights of lower exponents are zero.
inline constexpr float kLeastExponent = -87.0f;
// Of two exponents so far apart, the greater one has the greater weight, whatever their rounding.
inline constexpr float kApart = 1e-4f;

// The count-th largest of at least so many values. The buffers grow to their number at most.
float NthLargest(std::span<const float> values, size_t count, const RowScans& scans,
                 std::vector<float>& order, std::vector<float>& groups);

// The exponent (logit - top) * scale below which no id is among the `count` heaviest of a row whose
// `count`-th best run has `nth` as its best: so many runs, each with a heavier one.
inline float LeastOfBest(float nth, float top, float scale) { return (nth - top) * scale - kApart; }

}  // namespace quire::kernels
