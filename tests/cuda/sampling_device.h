// The device's sampler, called from a translation unit that g++ reads: rows in, ids and the time out. One
// thread. Allocates per call: for checks, not for serving.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quire::kernels::cuda {

// SampleRule for host code that doesn't read kernels.
struct DeviceRule {
  float scale, top_p, min_p;
  int top_k;
  double noise;
};

struct DeviceSamples {
  std::vector<int> ids;
  double us = 0;  // the launch, the least of several
  std::string error;
};

// logits [rules.size(), stride]; stride a multiple of 64.
DeviceSamples SampleOnDevice(const std::vector<float>& logits, const std::vector<DeviceRule>& rules,
                             int vocabulary, int64_t stride);

}  // namespace quire::kernels::cuda
