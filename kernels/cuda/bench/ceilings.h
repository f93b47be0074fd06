// The device's own lines, measured in every run because machines differ: DRAM reads and copies, empty graph
// nodes with and without programmatic edges, stream launches. Called by the check program's one thread;
// prints JSON lines as it goes.
#pragma once

#include "kernels/cuda/bench/measure.h"

namespace quire::kernels::cuda::bench {

// Fills read_bytes_per_s; flops_per_s comes from a GEMM (lt_sweep.h).
Ceilings MeasureMemory(cudaStream_t stream);

}  // namespace quire::kernels::cuda::bench
