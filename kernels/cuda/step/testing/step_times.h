// How long steps take: by the device's clock around each launch, and from event to event; and lines of JSON
// to stdout and a file at once. For quire-cuda-step's one thread.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/bench/measure.h"
#include "kernels/cuda/step/device_array.h"

namespace quire::kernels::cuda {

class StepReport {
 public:
  explicit StepReport(const char* path) : file_(path == nullptr ? nullptr : std::fopen(path, "a")) {}
  ~StepReport() {
    if (file_ != nullptr) (void)std::fclose(file_);
  }
  StepReport(const StepReport&) = delete;
  StepReport& operator=(const StepReport&) = delete;

  void Print(const bench::JsonLine& line) {
    line.Print();
    if (file_ == nullptr) return;
    (void)std::fprintf(file_, "%s\n", line.Line().c_str());
    (void)std::fflush(file_);
  }
  // True for "".
  bool Good(const std::string& error, const char* where) {
    if (error.empty()) return true;
    Print(bench::JsonLine("error").Text("where", where).Text("error", error));
    return false;
  }

 private:
  std::FILE* const file_;
};

// When launches began and ended, by the device's clock in nanoseconds.
class StepStamps {
 public:
  StepStamps(Stream& stream, int most);
  // The next launch's; the one behind it counts the launch.
  void EnqueueBegin(Stream& stream) const;
  void EnqueueEnd(Stream& stream) const;
  void Reset(Stream& stream) const;

  struct Times {
    double busy_us = 0, gap_us = 0, longest_gap_us = 0;  // medians; of launches and between them
  };
  Times Read(Stream& stream) const;

 private:
  int most_;
  DeviceArray<unsigned long long> stamps_;  // [launch][begin, end]
  DeviceArray<int> count_;
};

// Milliseconds that what `work` enqueues takes, from event to event: the median of `repeats`.
double MedianMs(Stream& stream, int repeats, const std::function<void(Stream&)>& work);

}  // namespace quire::kernels::cuda
