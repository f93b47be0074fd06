// Where the CUDA backend that cuda_model_test.cc looks at computes: one of two files says it.
#pragma once

#include <cstdint>

#include "tests/golden/rank_threads.h"

namespace quire::golden {

struct TestedDevice {
  // Of one of so many ranks.
  absl::StatusOr<kernels::Device> (*make)(kernels::Rendezvous& rendezvous);
  // Of ranks that don't reach one another's memory.
  DeviceMaker (*make_apart)(int ranks);
  int64_t tokens;  // of a prompt: a block and a part of one at least
};
extern const TestedDevice kTested;

}  // namespace quire::golden
