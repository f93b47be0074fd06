// The thin layer that kernels are written against; the one place that knows which compiler reads them. Under
// nvcc it is CUDA (device_cuda.h), else fibers (device_fiber.h). Both declare, in quire::kernels::cuda:
//
// - kEmulated
// - ThreadIndex, WarpIndex, LaneIndex, BlockIndex, GridSize: blocks have one dimension
// - SharedMemory: the block's dynamic shared memory, 128-byte aligned, undefined at first
// - SyncBlock, SyncWarp: barriers; every thread (lane) must come
// - Shuffle(v, lane), ShuffleXor(v, mask), Ballot(bool): of whole warps; 4-byte values
// - Load128, Load128Once, Store128: 16 aligned bytes; Once: read-only for the launch, and not kept in L1
// - CopyAsync16(shared, global, valid): 16 bytes, zeros where !valid (global is not read then)
// - CopyAsync16Kept: the same, for what L1 should keep
// - CopyAsyncCommit, CopyAsyncWait<n>: copies land at the wait that leaves n groups, for this thread, and at
//   the SyncBlock after it for others
// - LdMatrix4, LdMatrix4Trans: four 8x8 b16 matrices; lane l gives the address of row l % 8 of matrix l / 8
// - MmaBf16(d, a, b): d[16x8] += a[16x16] b[16x8], bf16 in, fp32 sums (m16n8k16's fragments)
// - GroupMmaAsync<kTiles, kColumns>(d, a, chunk, leading_bytes, stride_bytes): d[64 x 8 kTiles] += a[64x16] b
//   for four warps together (wgmma; kGroupMma says where it is), each with 16 rows in the fragments of
//   MmaBf16. b stands in shared memory from that 16-byte chunk on, in 1024-byte squares of eight 128-byte
//   rows, chunks permuted (xor with the row). A square's rows are columns of b, 64 of its rows long,
//   stride_bytes to the next eight columns; with kColumns, rows of b: stride_bytes to the next eight rows,
//   leading_bytes to the next 64 columns. ShowCopiesToGroupMma between a copy's wait and the barrier after
//   it; GroupFence before products, GroupCommit behind, GroupWait<n>(d) leaves n.
// - AtomicAdd(int*, int): the value before
// - StoreRelease, LoadAcquire: 4 bytes of device or pinned memory that other devices and the host read and
//   write, too; what a thread, or one that it met at a barrier, wrote before the store is seen behind the
//   load that sees it
// - Pause: in a loop that waits for such a word
// - Opaque(int): the same, which the compiler doesn't know, so that what follows from it is made anew in each
//   round of a loop instead of held in registers
// - LetNextKernelStart, WaitForPriorKernel: programmatic launch (sm_90 and later); what a kernel reads of
//   those before it stands after the wait; Launch(..., Order::kOverlapping) makes use of both
// - Bf16ToFloat, FloatToBf16, PackBf16(low, high), BitsToFloat, FloatToBits, BitsToDouble, DoubleToBits,
//   Fma, Max, Rsqrt, Divide, Log
// - Exp2, Exp, Reciprocal: the fast ones, right to an ulp or two, no denormals
// - for the host: Stream, Event (a place on it, to be waited for), DeviceSize, ReadDeviceSize, Launch, Graph
//   (launches that are kept and run again);
//   AllocateDevice, FreeDevice, AllocatePinned, FreePinned; CopyToDevice and CopyToHost, which wait for all
//   before; QueueCopyToDevice and QueueCopyToHost (from and to pinned memory, which is left alone until the
//   stream has passed), QueueCopyOnDevice and QueueClear, which do not
// - for the host: PeerMemory, which other ranks of the host read and write, PeerView, another rank's
//
// and the macros QUIRE_DEVICE (before a function), QUIRE_UNROLL, QUIRE_NO_UNROLL (before a
// loop) and QUIRE_CUDA_ARCH (900, say). The fiber form runs lanes in a seeded, shuffled order, fills shared
// memory and the targets of copies under way with NaNs, and reports barriers that not everybody reaches: what
// lacks a barrier gives wrong numbers. What is queued to the host lands when somebody waits for it (for the
// stream, or an event behind it) and is all ones until then, also where something else is waited for; pinned
// memory that was written before its copy to the device had been waited for is said then. No contraction in
// either: a * b + c rounds twice unless Fma says otherwise, so bits don't depend on inlining.
#pragma once

#ifdef __CUDA_ARCH__
#define QUIRE_CUDA_ARCH __CUDA_ARCH__
#else
#define QUIRE_CUDA_ARCH 0
#endif
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define QUIRE_CUDA_GROUP_MMA 1
#else
#define QUIRE_CUDA_GROUP_MMA 0
#endif
#ifdef __CUDACC__
#include "kernels/cuda/device/device_cuda.h"
#include "kernels/cuda/device/peer_memory_cuda.h"
#else
#include "kernels/cuda/device/device_fiber.h"
#include "kernels/cuda/device/peer_memory_fiber.h"
#endif
