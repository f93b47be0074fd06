// The sum of what all ranks have, in an order that the number of ranks alone fixes, so that every rank and
// every transport gets the same bits. Of 2, 4 and 8 ranks it is a binary tree: the top of the leaves'
// (kernels/backend.h) where they divide them. Of other numbers it is ((r0 + r1) + r2) and so on. Pure, any
// thread; denormals are as the caller's thread has them (Backend::Run).
#pragma once

#include <cstdint>
#include <span>

namespace quire::worker {

// out[i] = parts[0][i] + parts[1][i] + ...; at least one part. `out` overlaps none of them.
void SumRanks(std::span<const float* const> parts, int64_t count, float* out);

}  // namespace quire::worker
