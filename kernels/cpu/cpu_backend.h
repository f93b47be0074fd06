// The CPU's Backend: packed weights in huge pages, one microkernel per instruction set, a small thread
// pool. Bits depend neither on the number of threads nor on the batch nor, within a family, on the
// instruction set (kernels/backend.h).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace quire::kernels::cpu {

// As BackendOptions of kernels/backend_factory.h, with the same errors.
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(int threads, int spin_us, const std::string& isa);

}  // namespace quire::kernels::cpu
