// For tests only: cuBLASLt on fibers. It multiplies by the decode GEMM's own chain, once for each leaf, which
// is what its algorithms of kind 66 were seen to sum, and writes nonsense by any other kind; what it offers
// for a shape, how long that takes and what fails are the test's. The test owns it and it outlives the calls.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "kernels/cuda/lt/lt_calls.h"
#include "kernels/cuda/lt/lt_choices.h"

namespace quire::kernels::cuda {

class FakeLt {
 public:
  LtCalls Calls();
  // An algorithm with this tile, so that tests tell them apart.
  static LtConfig Chain(int tile) { return {.id = 66, .tile = tile, .split_k = 1}; }

  std::vector<LtConfig> offers = {Chain(1)};  // of every shape
  std::map<int, double> us;                   // of a tile; 1 where none is said, less than 0: it can't run
  std::set<int> unsupported;                  // tiles
  bool takes_shapes = true, fails = false;    // fails: no product is enqueued
  // What was called.
  int opened = 0, timed = 0;
  std::vector<LtConfig> ran;

 private:
  class Operation;
};

}  // namespace quire::kernels::cuda
