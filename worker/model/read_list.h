// Which bytes of a checkpoint a rank reads, in the plan's order: its own slices, in pieces that one request
// to the kernel takes. Columns of a matrix lie apart: what lies between is left out where that is more than
// reading costs. Pure but for its own place in the list; owned and called by ReadAhead's thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/model/safetensors.h"
#include "worker/model/weight_plan.h"

namespace quire::worker {

class ReadList {
 public:
  using Bytes = std::span<const uint8_t>;

  // CheckWeights took the plan for these tensors. `whole_rows`: other ranks want what lies between this one's
  // columns from the same disk, and it is read once for all of them.
  ReadList(const StoredTensors& tensors, const WeightPlan& plan, bool whole_rows);

  // Matrices and vectors of the plan.
  int64_t items() const { return std::ssize(item_ends_) - 1; }
  // Bytes of the file that the first so many take; what is read beside them doesn't count.
  int64_t own_bytes(int64_t items) const { return item_ends_[items].own; }
  // Bytes of all pieces of the first so many.
  int64_t read_bytes(int64_t items) const { return item_ends_[items].read; }

  // The next piece; none after the last.
  std::optional<Bytes> Next();

 private:
  // `count` stretches of `size` bytes, `stride` apart.
  struct Part {
    const uint8_t* first;
    int64_t size, stride, count;
  };
  struct ItemEnd {
    int64_t own = 0, read = 0;
  };

  std::vector<Part> parts_;
  std::vector<ItemEnd> item_ends_ = std::vector<ItemEnd>(1);  // of the first 0, 1, ... items
  // What is next.
  size_t part_ = 0;
  int64_t stretch_ = 0, offset_ = 0;
};

}  // namespace quire::worker
