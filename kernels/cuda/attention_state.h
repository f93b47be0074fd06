// The arithmetic of softmax over keys that come in pieces, in one place: whoever merges two pieces (a block
// that walks on, or the kernel that combines what several blocks left) gets the same bits. Device code.
#pragma once

#include <cmath>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

// Of a row and the keys so far: the highest score (not yet scaled) and the sum of exp2((score - highest) *
// scale). sum is 0 where there was no key.
struct SoftmaxState {
  float highest = -INFINITY, sum = 0;
};

// What values summed under `earlier` and under `later` are multiplied with when they are added.
struct MergeFactors {
  float earlier, later;
};

// Folds `later`, which has a key, into `earlier`, which has one, too.
QUIRE_DEVICE MergeFactors Merge(SoftmaxState& earlier, const SoftmaxState& later, float scale_log2) {
  const float highest = earlier.highest > later.highest ? earlier.highest : later.highest;
  const MergeFactors factors{Exp2((earlier.highest - highest) * scale_log2),
                             Exp2((later.highest - highest) * scale_log2)};
  earlier.sum = Fma(earlier.sum, factors.earlier, later.sum * factors.later);
  earlier.highest = highest;
  return factors;
}
QUIRE_DEVICE float MergeValues(const MergeFactors& factors, float earlier, float later) {
  return Fma(earlier, factors.earlier, later * factors.later);
}

// The output of a row: + 0 makes one zero of the two.
QUIRE_DEVICE float Normalized(float value, float inverse_sum) { return value * inverse_sum + 0.0f; }

}  // namespace quire::kernels::cuda
