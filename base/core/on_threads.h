// Work that is done once and in pieces, such as what a start converts: spread over threads that live as long
// as the call. What is done again and again has a pool of its own (kernels/cpu/thread_pool.h). Any thread.
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"

namespace quire {

// Calls body(i) for every i below count, each once, on up to `threads` threads, the calling one among them:
// on fewer where the system has no more. Returns when all have returned.
void ForEachOnThreads(int threads, int64_t count, absl::FunctionRef<void(int64_t)> body);

}  // namespace quire
