// wgmma, for device_cuda.h, which alone includes this: what device.h says of GroupMmaAsync and its fences. On
// anything but sm_90a the functions are empty: kGroupMma is false there and nobody calls them. nvcc alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quire::kernels::cuda {

inline constexpr bool kGroupMma = QUIRE_CUDA_GROUP_MMA != 0;

QUIRE_DEVICE void GroupFence() {
  if constexpr (kGroupMma) asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
QUIRE_DEVICE void GroupCommit() {
  if constexpr (kGroupMma) asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
QUIRE_DEVICE void ShowCopiesToGroupMma() {
  if constexpr (kGroupMma) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// The sums as operands: no use of them moves to before the wait. ptxas moves a wait up past arithmetic of its
// own basic block, so one that should come behind that stands in a branch; kPlace tells it from the other
// branch's, with which it would be merged before the branch.
template <int kGroupsLeft, int kPlace = 0, int kTiles>
QUIRE_DEVICE void GroupWait(float (&d)[kTiles][4]) {
  if constexpr (kGroupMma)
    asm volatile("wgmma.wait_group.sync.aligned %0;  // at %1" ::"n"(kGroupsLeft), "n"(kPlace) : "memory");
  QUIRE_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    asm volatile("" : "+f"(d[tile][0]), "+f"(d[tile][1]), "+f"(d[tile][2]), "+f"(d[tile][3])::"memory");
  }
}

// PTX's matrix descriptor: rows of 128 bytes, swizzled; addresses and strides in units of 16 bytes.
QUIRE_DEVICE uint64_t GroupDescriptor(int chunk, int leading_bytes, int stride_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  const uint32_t address = SharedAddress(SharedMemory()) / 16 + static_cast<uint32_t>(chunk);  // under 2^14
  return kSwizzle128 | static_cast<uint64_t>(stride_bytes / 16) << 32 |
         (address + (static_cast<uint32_t>(leading_bytes / 16) << 16));
}

#define QUIRE_D4(t) "+f"(d[t][0]), "+f"(d[t][1]), "+f"(d[t][2]), "+f"(d[t][3])
#define QUIRE_D16(t) QUIRE_D4(t), QUIRE_D4(t + 1), QUIRE_D4(t + 2), QUIRE_D4(t + 3)

template <int kTiles, bool kColumns>
QUIRE_DEVICE void GroupMmaAsync(float (&d)[kTiles][4], const uint32_t (&a)[4], int chunk, int leading_bytes,
                                int stride_bytes) {
  static_assert(kTiles == 8 || kTiles == 16);
  if constexpr (!kGroupMma) {
    return;
  } else if constexpr (kTiles == 8) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, p, 1, 1, %37;\n}"
        : QUIRE_D16(0), QUIRE_D16(4)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
          "l"(GroupDescriptor(chunk, leading_bytes, stride_bytes)), "n"(kColumns ? 1 : 0));
  } else {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, p, 1, 1, %69;\n}"
        : QUIRE_D16(0), QUIRE_D16(4), QUIRE_D16(8), QUIRE_D16(12)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
          "l"(GroupDescriptor(chunk, leading_bytes, stride_bytes)), "n"(kColumns ? 1 : 0));
  }
}

#undef QUIRE_D16
#undef QUIRE_D4

}  // namespace quire::kernels::cuda
