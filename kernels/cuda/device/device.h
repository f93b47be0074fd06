// The thin layer that kernels are written against; the one place that knows which compiler reads them. Under
// nvcc it is CUDA (device_cuda.h), else fibers (device_fiber.h). Both declare, in quire::kernels::cuda:
//   kEmulated
//   ThreadIndex() WarpIndex() LaneIndex() BlockIndex() GridSize()      one-dimensional blocks
//   SharedMemory()                    the block's dynamic shared memory, 128-byte aligned, undefined at first
//   SyncBlock() SyncWarp()            barriers; every thread (lane) must come
//   Shuffle(v, lane) ShuffleXor(v, mask) Ballot(bool)                   whole warps; 4-byte values
//   Load128 Load128Once Store128      16 aligned bytes; Once: read-only for the launch, and not kept in L1
//   CopyAsync16(shared, global, valid)  16 bytes, zeros where !valid (global is not read then); lands at
//   CopyAsyncCommit() CopyAsyncWait<n>()  the wait that leaves n groups, for this thread; others: SyncBlock
//   after LdMatrix4 LdMatrix4Trans          four 8x8 b16 matrices; lane l gives the address of row l % 8 of
//   matrix l / 8 MmaBf16(d, a, b)                  d[16x8] += a[16x16] b[16x8], bf16 in, fp32 sums
//   (m16n8k16's fragments) AtomicAdd(int*, int)              the value before Bf16ToFloat(bits)
//   FloatToBf16(x) PackBf16(low, high)  Fma Exp2 Exp Log Rsqrt Divide Stream, Launch, AllocateDevice,
//   FreeDevice, CopyToDevice, CopyToHost   for the host
// and the macros QUIRE_DEVICE (before a device function) and QUIRE_UNROLL (before a loop).
// The fiber form runs lanes in a seeded, shuffled order, fills shared memory and the targets of copies under
// way with NaNs, and reports barriers that not everybody reaches: what lacks a barrier gives wrong numbers.
// No contraction in either: a * b + c rounds twice unless Fma says otherwise, so bits don't depend on
// inlining.
#pragma once

#ifdef __CUDACC__
#include "kernels/cuda/device/device_cuda.h"
#else
#include "kernels/cuda/device/device_fiber.h"
#endif
