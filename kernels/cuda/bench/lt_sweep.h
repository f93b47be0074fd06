// What cuBLASLt is worth on this device: its first choice, the best of all it offers, and the best that keeps
// one order of sums for every M (batch invariance, found by comparing bits), beside the line. Called by the
// check program's one thread; prints JSON lines as it goes.
#pragma once

#include "kernels/cuda/bench/measure.h"

namespace quire::kernels::cuda::bench {

// Fills ceilings->flops_per_s from an 8192^3 product, then sweeps the shapes for at most `seconds`.
void SweepLt(cudaStream_t stream, Ceilings* ceilings, double seconds);

// Whether cuBLASLt's algorithms give the bits of our chain, which would make prefill and decode agree.
void CompareWithChain(cudaStream_t stream);

}  // namespace quire::kernels::cuda::bench
