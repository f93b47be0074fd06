// A step's inputs as a backend in host memory keeps them: copies in buffers that Reserve sized, so that
// nothing of the caller's has to outlive BeginStep. Owned by a backend, used by the thread that calls it.
// Always: what the ops read here keeps its contract (kernels/backend.h); a caller that breaks it is stopped
// before anything is read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace quire::kernels {

class HostStep {
 public:
  void Reserve(const StepLimits& limits);
  // What it takes; the sum of each limit's own.
  static int64_t BytesFor(const StepLimits& limits);
  StepBucket Take(const StepInputs& inputs);

  std::span<const int32_t> ids() const { return ids_; }
  // Their tables are copies, too; they stand until the next Take.
  std::span<const SequenceRows> sequences() const { return sequences_; }
  std::span<const int64_t> wanted_rows() const { return wanted_rows_; }

 private:
  void TakeSequences(std::span<const SequenceRows> sequences);

  StepLimits limits_;
  std::vector<int32_t> ids_;
  std::vector<SequenceRows> sequences_;
  std::vector<int32_t> tables_;  // of one sequence after the other
  std::vector<int64_t> wanted_rows_;
};

}  // namespace quire::kernels
