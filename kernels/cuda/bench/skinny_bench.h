// The skinny GEMM on a device: right beside fp64, equal bits for every M, tiling and number of ranks, and its
// times beside the line. Called by the check program's one thread; prints JSON lines as it goes.
#pragma once

#include "kernels/cuda/bench/measure.h"

namespace quire::kernels::cuda::bench {

// False where something was wrong. `small`: for compute-sanitizer.
bool CheckSkinny(cudaStream_t stream, bool small);

// y = x * weights^T as one chain of sums in the order of k.
bool RunSkinnyChain(cudaStream_t stream, const GemmShape& shape, int m, const uint16_t* weights,
                    const uint16_t* x, float* y);

// Every shape at M = 1 .. 32, with and without programmatic edges, then whole layers in a chain.
void BenchSkinny(cudaStream_t stream, const Ceilings& ceilings);

// Each shape once at M = 1 and 16, for a profiler.
void ProfileSkinny(cudaStream_t stream);

}  // namespace quire::kernels::cuda::bench
