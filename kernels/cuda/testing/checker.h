// What a check of a kernel is written with: it runs the kernel, compares with an fp64 reference, and tells
// the Checker. The same source is a unit test on fibers (small shapes) and a part of quire-cuda-check on a
// GPU (all shapes, or the small ones under compute-sanitizer). One thread. A failed check never ends the run.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "kernels/cuda/device/device.h"

namespace quire::kernels::cuda {

struct CheckResult {
  std::string kernel, shape;
  double error = 0, limit = 0;  // relative L2 error, unless the kernel's name says otherwise
  std::string note;             // why it failed, where no number says it
  bool ok() const { return note.empty() && error <= limit; }
};

class Checker {
 public:
  using Sink = std::function<void(const CheckResult&)>;
  Checker(bool small, uint64_t seed, Sink sink) : small_(small), seed_(seed), sink_(std::move(sink)) {}

  // Only shapes that a fiber per thread finishes in a second or so.
  bool small() const { return small_; }
  uint64_t NextSeed() { return ++seed_; }
  Stream& stream() { return stream_; }

  // Waits for the stream; what went wrong there fails the check, too. NaN is never within.
  void Within(const std::string& kernel, const std::string& shape, double error, double limit) {
    Tell({kernel, shape, std::isnan(error) ? HUGE_VAL : error, limit, stream_.Synchronize()});
  }
  void True(const std::string& kernel, const std::string& shape, bool holds, const std::string& otherwise) {
    const std::string error = stream_.Synchronize();
    Tell({kernel, shape, holds ? 0.0 : 1.0, 0, !error.empty() ? error : holds ? "" : otherwise});
  }

 private:
  void Tell(const CheckResult& result) { sink_(result); }

  const bool small_;
  uint64_t seed_;
  Sink sink_;
  Stream stream_;
};

// ||got - want|| / ||want||; NaN where any element of got is.
inline double RelativeError(std::span<const double> got, std::span<const double> want) {
  if (got.size() != want.size()) return HUGE_VAL;
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return size == 0 ? std::sqrt(difference) : std::sqrt(difference / size);
}

// The worst |got - want| / size of one element; what an L2 over many hides. NaN where any of got is.
inline double WorstError(std::span<const double> got, std::span<const double> want,
                         std::span<const double> size) {
  if (got.size() != want.size() || want.size() != size.size()) return HUGE_VAL;
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    if (error == 0) continue;
    if (!(error / size[i] <= worst)) worst = error / size[i];
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

}  // namespace quire::kernels::cuda
