// The thin layer that kernels are written against; the one place that knows which compiler reads them. Under
// nvcc it is CUDA (device_cuda.h), else fibers (device_fiber.h). Both declare, in quire::kernels::cuda:
//   kEmulated
//   ThreadIndex() WarpIndex() LaneIndex() BlockIndex() GridSize()      one-dimensional blocks
//   SharedMemory()                    the block's dynamic shared memory, 128-byte aligned, undefined at first
//   SyncBlock() SyncWarp()            barriers; every thread (lane) must come
//   Shuffle(v, lane) ShuffleXor(v, mask) Ballot(bool)                   whole warps; 4-byte values
//   Load128 Load128Once Store128      16 aligned bytes; Once: read-only for the launch, and not kept in L1
//   CopyAsync16(shared, global, valid)  16 bytes, zeros where !valid (global is not read then); lands at
//   CopyAsync16Once CopyAsync16Kept   the same: what a launch reads once, first to leave L2; what goes
//   through L1 CopyAsyncCommit() CopyAsyncWait<n>()  the wait that leaves n groups, for this thread; others:
//   SyncBlock after LdMatrix4 LdMatrix4Trans          four 8x8 b16 matrices; lane l gives the address of row
//   l % 8 of matrix l / 8 MmaBf16(d, a, b)                  d[16x8] += a[16x16] b[16x8], bf16 in, fp32 sums
//   (m16n8k16's fragments) AtomicAdd(int*, int)              the value before Bf16ToFloat(bits)
//   FloatToBf16(x) PackBf16(low, high)  Fma Exp2 Exp Log Rsqrt Divide Stream, Launch, AllocateDevice,
//   FreeDevice, CopyToDevice, CopyToHost   for the host
//   LetNextKernelStart() WaitForPriorKernel()  programmatic launch (sm_90 and later): what a kernel reads of
//   those before it stands after the wait; Launch(..., Order::kOverlapping) makes use of both
// and the macros QUIRE_DEVICE (before a device function), QUIRE_UNROLL (before a loop) and QUIRE_CUDA_ARCH
// (900, say). The fiber form runs lanes in a seeded, shuffled order, fills shared memory and the targets of
// copies under way with NaNs, and reports barriers that not everybody reaches: what lacks a barrier gives
// wrong numbers. No contraction in either: a * b + c rounds twice unless Fma says otherwise, so bits don't
// depend on inlining.
#pragma once

#ifdef __CUDA_ARCH__
#define QUIRE_CUDA_ARCH __CUDA_ARCH__
#else
#define QUIRE_CUDA_ARCH 0
#endif
#ifdef __CUDACC__
#include "kernels/cuda/device/device_cuda.h"
#else
#include "kernels/cuda/device/device_fiber.h"
#endif
