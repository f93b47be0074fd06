// Where the CUDA backend that cuda_model_test.cc looks at computes: one of two files says it.
#pragma once

#include <cstdint>

#include "tests/golden/rank_threads.h"

namespace quire::golden {

struct TestedDevice {
  absl::StatusOr<std::unique_ptr<kernels::Backend>> (*make)();
  int64_t tokens;  // of a prompt: a block and a part of one at least
};
extern const TestedDevice kTested;

}  // namespace quire::golden
