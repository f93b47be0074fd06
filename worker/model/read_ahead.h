// Tells the kernel which bytes of a checkpoint are needed next, so that the disk reads them while the ones
// before are packed: a rank's own slices, in the plan's order, so far ahead of what is loaded and no further.
// Advice only; what is read is the same without it. Owned and called by who loads, on its thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "worker/model/safetensors.h"
#include "worker/model/weight_plan.h"

namespace quire::worker {

class ReadAhead {
 public:
  using Bytes = std::span<const uint8_t>;
  using Advise = std::function<void(Bytes)>;

  // CheckWeights took the plan for these files. `advise` is called for each part when its turn comes, once.
  ReadAhead(const Safetensors& files, const WeightPlan& plan, int64_t window_bytes, Advise advise);

  // That so many matrices and vectors of the plan are loaded, in its order; asks for what then is in the
  // window.
  void OnLoaded(int64_t items);

  // The kernel's own: asks for a part's pages, and returns before they are there.
  static void AdviseKernel(Bytes bytes);

 private:
  struct Part {
    Bytes bytes;
    int64_t before = 0;  // bytes of all parts before it
  };
  const int64_t window_bytes_;
  const Advise advise_;
  std::vector<Part> parts_;
  std::vector<int64_t> item_ends_;  // bytes of all parts of the plan's first items
  size_t next_ = 0;                 // of parts_
};

}  // namespace quire::worker
