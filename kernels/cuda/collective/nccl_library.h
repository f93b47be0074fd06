// NCCL found at run time, as cuBLASLt is (kernels/cuda/lt/lt_library.h): no program links it. Opens the first
// candidate that loads (LD_LIBRARY_PATH first) and resolves the few functions we call; it stays open. Any
// thread. What always holds: a table without `missing` is complete.
#pragma once

#include "kernels/cuda/collective/nccl_calls.h"

namespace quire::kernels::cuda {

NcclCalls OpenNcclLibrary();

}  // namespace quire::kernels::cuda
