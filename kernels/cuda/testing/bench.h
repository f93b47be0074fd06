// Times kernels on a GPU with events, the median of many launches, beside the device's own lines: what a
// read-only kernel reaches and, where measured, a large matrix product. Before each launch the L2 cache is
// filled with other lines; clean ones, since dirty ones would be written back within the time measured. Under
// nvcc alone.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct Timing {
  std::string kernel, shape;
  double us = 0, us_p10 = 0, us_p90 = 0;
  double bytes = 0, flops = 0;  // that the work needs at least
  double line = 0;              // us that the device would need at its lines; 0 where none was measured
  std::string error;
};

struct DeviceLines {
  double read = 0, copy = 0;  // bytes per second; of copy, read and written bytes together
  double matmul = 0;          // bf16 operations per second
};

class Bench {
 public:
  using Sink = std::function<void(const Timing&)>;
  // `once`: one launch of each, for a profiler.
  Bench(bool once, Sink sink);
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  Stream& stream() { return stream_; }
  DeviceLines& lines() { return lines_; }
  int multiprocessors() const { return multiprocessors_; }
  // `work` launches the kernel once. Returns the median, us.
  double Measure(const std::string& kernel, const std::string& shape, double bytes, double flops,
                 const std::function<void(Stream&)>& work, int repeats = 30);

 private:
  const bool once_;
  Sink sink_;
  Stream stream_;
  DeviceLines lines_;
  int multiprocessors_ = 0;
  void* flush_ = nullptr;
  size_t flush_bytes_ = 0;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// Fills lines().read and copy, and reports them.
void MeasureMemoryLines(Bench& bench);
// Device memory with random bf16 of about +-scale, made there.
uint16_t* NewRandomBf16(Stream& stream, size_t count, uint32_t seed, float scale = 1);

}  // namespace quire::kernels::cuda
