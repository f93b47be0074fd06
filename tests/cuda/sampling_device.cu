#include "tests/cuda/sampling_device.h"

#include <algorithm>

#include "kernels/cuda/backend/device_sampler.h"

namespace quire::kernels::cuda {

DeviceSamples SampleOnDevice(const std::vector<float>& logits, int64_t stride, int64_t vocabulary,
                             std::span<const SampleSpec* const> specs) {
  DeviceSamples samples;
  Stream stream;
  const DeviceArray<float> rows(stream, logits.size());
  rows.Upload(stream, logits, "logits");
  DeviceSampler sampler;
  sampler.Reserve(stream, static_cast<int64_t>(specs.size()), vocabulary);
  samples.error = stream.Synchronize();
  samples.tokens.resize(specs.size());
  if (!samples.error.empty()) return samples;
  samples.us = 1e30;
  cudaEvent_t start, stop;
  stream.Record(cudaEventCreate(&start), "creating an event");
  stream.Record(cudaEventCreate(&stop), "creating an event");
  for (int i = 0; i < 6; ++i) {
    stream.Record(cudaEventRecord(start, stream.handle()), "recording an event");
    sampler.Enqueue(stream, 0, rows.data(), stride, specs);
    stream.Record(cudaEventRecord(stop, stream.handle()), "recording an event");
    stream.Record(cudaEventSynchronize(stop), "waiting for an event");
    float ms = 0;
    stream.Record(cudaEventElapsedTime(&ms, start, stop), "reading an event");
    if (i > 0) samples.us = std::min(samples.us, 1000.0 * ms);
  }
  (void)cudaEventDestroy(start);
  (void)cudaEventDestroy(stop);
  samples.error = stream.Synchronize();
  const std::span<const SampledToken> tokens = sampler.TakeTokens(0);
  samples.tokens.assign(tokens.begin(), tokens.end());
  return samples;
}

}  // namespace quire::kernels::cuda
