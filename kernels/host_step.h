// A step's inputs as a backend in host memory keeps them: copies in buffers that Reserve sized, so that
// nothing of the caller's has to outlive BeginStep. Block tables stand here by slot from step to step, so
// that a step costs what is new in it. Owned by a backend, used by the thread that calls it. Always: what the
// ops read here keeps its contract (kernels/backend.h); a caller that breaks it is stopped before anything is
// read.
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
  // `before`: of the last Sample, of a backend that runs ahead.
  StepBucket Take(const StepInputs& inputs, std::span<const SampledToken> before = {});

  std::span<const int32_t> ids() const { return ids_; }
  // `blocks` is the whole table here, until the next Take; its first `kept` were there in a step before.
  std::span<const SequenceRows> sequences() const { return sequences_; }
  std::span<const int64_t> wanted_rows() const { return wanted_rows_; }

 private:
  struct Slot {
    int64_t blocks = 0;  // of its table
    int64_t step = 0;    // the last one that it was in
  };

  void TakeSequences(std::span<const SequenceRows> sequences);
  std::span<const int32_t> TakeTable(const SequenceRows& sequence);

  StepLimits limits_;
  std::vector<int32_t> ids_;
  std::vector<SequenceRows> sequences_;
  std::vector<Slot> slots_;
  std::vector<int32_t> tables_;  // [slot][table_blocks]
  int64_t step_ = 0;
  std::vector<int64_t> wanted_rows_;
};

}  // namespace quire::kernels
