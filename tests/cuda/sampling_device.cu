#include "tests/cuda/sampling_device.h"

#include <algorithm>

#include "kernels/cuda/sampling/sample_rows.h"

namespace quire::kernels::cuda {

DeviceSamples SampleOnDevice(const std::vector<float>& logits, const std::vector<DeviceRule>& rules,
                             int vocabulary, int64_t stride) {
  std::vector<SampleRule> rows;
  for (const DeviceRule& rule : rules)
    rows.push_back({rule.scale, rule.top_k, rule.top_p, rule.min_p, rule.noise});
  Stream stream;
  SampleRows::Params params = {};
  void* device_logits = AllocateDevice(stream, logits.size() * 4);
  void* device_rules = AllocateDevice(stream, rows.size() * sizeof(SampleRule));
  void* weights = AllocateDevice(stream, logits.size() * 4);
  void* ids = AllocateDevice(stream, rows.size() * 4);
  CopyToDevice(stream, device_logits, logits.data(), logits.size() * 4);
  CopyToDevice(stream, device_rules, rows.data(), rows.size() * sizeof(SampleRule));
  params = {static_cast<const float*>(device_logits),
            static_cast<const SampleRule*>(device_rules),
            static_cast<float*>(weights),
            static_cast<int*>(ids),
            vocabulary,
            stride};
  DeviceSamples samples;
  samples.us = 1e30;
  cudaEvent_t start, stop;
  stream.Record(cudaEventCreate(&start), "creating an event");
  stream.Record(cudaEventCreate(&stop), "creating an event");
  for (int i = 0; i < 6; ++i) {
    stream.Record(cudaMemsetAsync(weights, 0xff, logits.size() * 4, stream.handle()), "poisoning");
    stream.Record(cudaMemsetAsync(ids, 0xff, rows.size() * 4, stream.handle()), "poisoning");
    stream.Record(cudaEventRecord(start, stream.handle()), "recording an event");
    SampleTokens(stream, static_cast<int>(rows.size()), params);
    stream.Record(cudaEventRecord(stop, stream.handle()), "recording an event");
    stream.Record(cudaEventSynchronize(stop), "waiting for an event");
    float ms = 0;
    stream.Record(cudaEventElapsedTime(&ms, start, stop), "reading an event");
    if (i > 0) samples.us = std::min(samples.us, 1000.0 * ms);
  }
  samples.ids.assign(rows.size(), -7);
  CopyToHost(stream, samples.ids.data(), ids, rows.size() * 4);
  for (void* memory : {device_logits, device_rules, weights, ids}) FreeDevice(memory);
  (void)cudaEventDestroy(start);
  (void)cudaEventDestroy(stop);
  samples.error = stream.Synchronize();
  return samples;
}

}  // namespace quire::kernels::cuda
