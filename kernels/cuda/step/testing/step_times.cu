#include "kernels/cuda/step/testing/step_times.h"

#include <algorithm>

namespace quire::kernels::cuda {
namespace {

__global__ void Stamp(unsigned long long* stamps, int* count, int most, bool end) {
  unsigned long long now = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  if (*count < most) stamps[*count * 2 + (end ? 1 : 0)] = now;
  if (end) *count += 1;
}

double Median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

StepStamps::StepStamps(Stream& stream, int most)
    : most_(most), stamps_(stream, static_cast<size_t>(most) * 2), count_(stream, 1) {
  Reset(stream);
  EnqueueBegin(stream);  // loaded now: a capture doesn't like kernels that have never run
  EnqueueEnd(stream);
  Reset(stream);
}
void StepStamps::EnqueueBegin(Stream& stream) const {
  Stamp<<<1, 1, 0, stream.handle()>>>(stamps_.data(), count_.data(), most_, false);
  stream.Record(cudaGetLastError(), "launching a stamp");
}
void StepStamps::EnqueueEnd(Stream& stream) const {
  Stamp<<<1, 1, 0, stream.handle()>>>(stamps_.data(), count_.data(), most_, true);
  stream.Record(cudaGetLastError(), "launching a stamp");
}
void StepStamps::Reset(Stream& stream) const {
  stream.Record(cudaMemsetAsync(count_.data(), 0, sizeof(int), stream.handle()), "resetting stamps");
}

StepStamps::Times StepStamps::Read(Stream& stream) const {
  const size_t count = static_cast<size_t>(std::min(count_.Download(stream, 1)[0], most_));
  const std::vector<unsigned long long> stamps = stamps_.Download(stream, count * 2);
  std::vector<double> busy, gaps;
  for (size_t i = 0; i < count; ++i) {
    busy.push_back(1e-3 * static_cast<double>(stamps[2 * i + 1] - stamps[2 * i]));
    if (i > 0) gaps.push_back(1e-3 * static_cast<double>(stamps[2 * i] - stamps[2 * i - 1]));
  }
  const double longest = gaps.empty() ? 0 : *std::max_element(gaps.begin(), gaps.end());
  return {Median(busy), Median(gaps), longest};
}

double MedianMs(Stream& stream, int repeats, const std::function<void(Stream&)>& work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  stream.Record(cudaEventCreate(&begin), "creating an event");
  stream.Record(cudaEventCreate(&end), "creating an event");
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    stream.Record(cudaEventRecord(begin, stream.handle()), "recording an event");
    work(stream);
    stream.Record(cudaEventRecord(end, stream.handle()), "recording an event");
    stream.Record(cudaEventSynchronize(end), "waiting for an event");
    float ms = 0;
    stream.Record(cudaEventElapsedTime(&ms, begin, end), "reading an event");
    times.push_back(ms);
  }
  (void)cudaEventDestroy(begin);
  (void)cudaEventDestroy(end);
  return Median(times);
}

}  // namespace quire::kernels::cuda
