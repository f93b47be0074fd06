// The Backend that tests believe: plain loops, fp64 sums, one value at a time, nothing packed. It rounds to
// bf16 exactly where the contract says so (norm outputs, q, K, V, attention and MLP outputs) and nowhere
// else. Slow; never linked into a program. One thread calls it, as any Backend.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace quire::kernels {

// One that runs ahead computes at once all the same.
std::unique_ptr<Backend> MakeReferenceBackend(bool runs_ahead = false);

}  // namespace quire::kernels
