// Tensors between the ranks of one group. One Communicator per rank, called by the rank's engine thread; all
// ranks make the same calls in the same order with the same shapes. Sums are fp32 and in an order that
// the number of ranks fixes (worker/parallel/rank_sum.h), so every rank gets the same bits (DESIGN:
// sameness). Implementations live in worker/parallel: shared memory between processes, threads of one
// process; NCCL comes with the CUDA plug-in. Errors: Unavailable when a peer is dead or stopped beating; the
// group is then lost and the rank exits.
#pragma once

#include "absl/status/status.h"
#include "kernels/tensor.h"

namespace quire::kernels {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // x fp32 [rows, cols] becomes the sum over ranks, in place, on every rank.
  virtual absl::Status AllReduceSum(Tensor x) = 0;
  // Rank r's local fp32 [rows, cols_r] lands in out [rows, sum of cols] of rank 0 at column
  // sum(cols_0..cols_r-1). `out` is ignored on other ranks. cols_r may differ by rank.
  virtual absl::Status GatherColumns(Tensor local, Tensor out) = 0;
};

}  // namespace quire::kernels
