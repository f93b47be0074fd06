// The device layer on fibers: see device.h, which alone includes this. Every function that is not pure goes
// to the fiber that runs (FiberBlock, fiber_block.h). Warp functions meet all 32 lanes first, as
// .sync.aligned says.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "kernels/bf16.h"
#include "kernels/cuda/device/fiber_block.h"
#include "kernels/cuda/device/types.h"

#define QUIRE_DEVICE inline
#define QUIRE_HOST_DEVICE inline
#define QUIRE_UNROLL
#define QUIRE_UNROLL_8
#define QUIRE_NO_UNROLL

namespace quire::kernels::cuda {

inline constexpr bool kEmulated = true;

inline int ThreadIndex() { return CurrentFiber().thread; }
inline int WarpIndex() { return ThreadIndex() / kWarpLanes; }
inline int LaneIndex() { return ThreadIndex() % kWarpLanes; }
inline Index3 BlockIndex() { return CurrentFiber().block; }
inline Index3 GridSize() { return CurrentFiber().grid; }
inline std::byte* SharedMemory() { return CurrentFiber().shared; }
inline void SyncBlock() { FiberSyncBlock(); }
inline void SyncWarp() { FiberExchange(WarpOp::kSync, nullptr, 0); }

template <typename T>
T Shuffle(T value, int lane) {
  static_assert(sizeof(T) == 4);
  return FiberExchange(WarpOp::kShuffle, &value, sizeof(T)).template Of<T>(lane & (kWarpLanes - 1));
}
template <typename T>
T ShuffleXor(T value, int mask) {
  static_assert(sizeof(T) == 4);
  const int from = LaneIndex() ^ mask;
  return FiberExchange(WarpOp::kShuffle, &value, sizeof(T)).template Of<T>(from & (kWarpLanes - 1));
}
uint32_t Ballot(bool value);

inline Word128 Load128(const void* from) { return *static_cast<const Word128*>(from); }
inline Word128 Load128Once(const void* from) { return Load128(from); }
inline void Store128(void* to, const Word128& v) { *static_cast<Word128*>(to) = v; }

void CopyAsync16(void* shared, const void* global, bool valid);
inline void CopyAsync16Kept(void* shared, const void* global, bool valid) {
  CopyAsync16(shared, global, valid);
}
void CopyAsyncCommit();
void FiberCopyWait(size_t groups_left);
template <int kGroupsLeft>
void CopyAsyncWait() {
  FiberCopyWait(kGroupsLeft);
}

void LdMatrix4(uint32_t (&r)[4], const void* row);
void LdMatrix4Trans(uint32_t (&r)[4], const void* row);
void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

// Launches run one after another.
inline void LetNextKernelStart() {}
inline void WaitForPriorKernel() {}

inline int Opaque(int x) { return x; }
// Blocks run one after another, and fibers change only where they wait.
inline int AtomicAdd(int* to, int value) {
  const int before = *to;
  *to += value;
  return before;
}

inline float Bf16ToFloat(uint32_t bits) { return kernels::Bf16ToFloat(static_cast<uint16_t>(bits)); }
inline uint32_t PackBf16(float low, float high) {
  return static_cast<uint32_t>(kernels::FloatToBf16(low)) | static_cast<uint32_t>(kernels::FloatToBf16(high))
                                                                << 16;
}
inline uint16_t FloatToBf16(float x) { return kernels::FloatToBf16(x); }
inline float Fma(float a, float b, float c) { return std::fma(a, b, c); }
inline float Max(float a, float b) { return std::fmax(a, b); }
inline float Exp2(float x) { return std::exp2(x); }
inline float Exp(float x) { return std::exp(x); }
inline float Log(float x) { return std::log(x); }
inline float Rsqrt(float x) { return 1 / std::sqrt(x); }
inline float Reciprocal(float x) { return 1 / x; }
inline float Divide(float a, float b) { return a / b; }
inline float BitsToFloat(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t FloatToBits(float x) { return std::bit_cast<uint32_t>(x); }

// ---- host ----

// Launches run at once, each with the next seed. Errors stay until Synchronize says them.
class Stream {
 public:
  explicit Stream(uint64_t seed = 1) : seed_(seed) {}
  uint64_t NextSeed() { return seed_++; }
  void Record(const std::string& error) {
    if (error_.empty()) error_ = error;
  }
  std::string Synchronize() {
    std::string error;
    std::swap(error, error_);
    return error;
  }

 private:
  uint64_t seed_;
  std::string error_;
};

enum class Order : uint8_t { kAfter, kOverlapping };

template <typename Kernel>
void Launch(Stream& stream, Index3 grid, int shared_bytes, const typename Kernel::Params& params,
            Order = Order::kAfter) {
  static_assert(Kernel::kMinBlocks >= 1);
  stream.Record(RunOnFibers({.grid = grid, .threads = Kernel::kThreads, .shared_bytes = shared_bytes},
                            stream.NextSeed(), [&params] { Kernel::Run(params); }));
}

// Of exactly this size, so that AddressSanitizer sees one byte too far.
inline void* AllocateDevice(Stream&, size_t bytes) { return std::aligned_alloc(16, (bytes + 15) / 16 * 16); }
inline void FreeDevice(void* memory) { std::free(memory); }
inline void CopyToDevice(Stream&, void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}
inline void CopyToHost(Stream&, void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace quire::kernels::cuda
