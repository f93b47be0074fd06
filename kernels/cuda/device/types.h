// What both forms of the device layer share: sizes of a launch, 128-bit words, what a kernel is. Plain C++.
//
// A kernel is a struct:
//   struct Scale {
//     struct Params { float* x; int count; };
//     static constexpr int kThreads = 256;   // of a block, a multiple of 32
//     static constexpr int kMinBlocks = 1;   // per multiprocessor, for the register bound
//     static QUIRE_DEVICE void Run(const Params& p) { ... }
//   };
// and Launch<Scale>(stream, {blocks}, shared_bytes, params) runs it: through nvcc on a GPU, through g++ with
// one fiber per thread, block after block in any order. One whose blocks each wait for the same block of
// other ranks says `static constexpr bool kMeetsPeers = true`: fibers run its blocks in their order then. Run
// calls the free functions of device.h and nothing else of either world.
#pragma once

#include <cstdint>

namespace quire::kernels::cuda {

struct Index3 {
  int x = 1, y = 1, z = 1;
};

// 16 bytes, as one load or store moves them.
struct alignas(16) Word128 {
  uint32_t word[4];
};

inline constexpr int kWarpLanes = 32;

// What launches are sized by.
struct DeviceSize {
  int processors = 1;
  int shared_bytes = 0;  // that a block may have
};
inline constexpr int kSharedBytesSm80 = 163 << 10, kSharedBytesSm90 = 227 << 10;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

}  // namespace quire::kernels::cuda
