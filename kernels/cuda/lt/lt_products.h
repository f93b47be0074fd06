// cuBLASLt itself as lt_calls.h's table: found at run time, with a workspace and a handle of its own on the
// device that is in use. Apart from everything that nvcc reads (its front end dies of the library's types).
// One thread.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

#include "kernels/cuda/lt/lt_calls.h"

namespace quire::kernels::cuda {

// Whether the library is to be had; else "why" says where it was looked for.
bool LtIsThere(std::string* why);

// No `open`, and "why", where it is not to be had.
LtCalls OpenLt(std::function<cudaStream_t(Stream&)> handle_of, std::string* why);

}  // namespace quire::kernels::cuda
