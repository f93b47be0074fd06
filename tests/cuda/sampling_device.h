// The device's sampling as the backend does it, called from a translation unit that g++ reads: rows in,
// tokens and the time out. One thread. Allocates per call: for checks, not for serving.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/sampling/sample_spec.h"

namespace quire::kernels::cuda {

struct DeviceSamples {
  std::vector<SampledToken> tokens;
  double us = 0;  // of all that is queued for a step's rows, the least of several
  std::string error;
};

// logits [specs.size(), stride], of each the first `vocabulary` may be sampled.
DeviceSamples SampleOnDevice(const std::vector<float>& logits, int64_t stride, int64_t vocabulary,
                             std::span<const SampleSpec* const> specs);

}  // namespace quire::kernels::cuda
