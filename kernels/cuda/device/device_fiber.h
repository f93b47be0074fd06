// The device layer on fibers: see device.h, which alone includes this. Every function that is not pure goes
// to the fiber that runs (FiberBlock, fiber_block.h). Warp functions meet all 32 lanes first, as
// .sync.aligned says.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cuda/device/fiber_block.h"
#include "kernels/cuda/device/types.h"

#define QUIRE_DEVICE inline
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

// wgmma's products, done at once, each warp's by itself: addresses are read as the hardware reads them.
inline constexpr bool kGroupMma = true;
inline void GroupFence() {}
inline void GroupCommit() {}
inline void ShowCopiesToGroupMma() {}
template <int kGroupsLeft, int kPlace = 0, int kTiles>
void GroupWait(float (&)[kTiles][4]) {}
uint16_t FiberSwizzledAt(int offset);
template <int kTiles, bool kColumns>
void GroupMmaAsync(float (&d)[kTiles][4], const uint32_t (&a)[4], int chunk, int leading_bytes,
                   int stride_bytes) {
  for (int tile = 0; tile < kTiles; ++tile) {
    uint32_t b[2] = {};
    for (int i = 0; i < 4; ++i) {
      const int k = i / 2 * 8 + LaneIndex() % 4 * 2 + i % 2, n = tile * 8 + LaneIndex() / 4;
      const int at = kColumns ? n / 64 * leading_bytes + k / 8 * stride_bytes + k % 8 * 128 + n % 64 * 2
                              : n / 8 * stride_bytes + n % 8 * 128 + k * 2;
      b[i / 2] |= static_cast<uint32_t>(FiberSwizzledAt(chunk * 16 + at)) << (i % 2 * 16);
    }
    MmaBf16(d[tile], a, b);
  }
}

// Launches run one after another.
inline void LetNextKernelStart() {}
inline void WaitForPriorKernel() { FiberWaitForPriorKernel(); }

inline int Opaque(int x) { return x; }
// Blocks run one after another, and fibers change only where they wait.
inline int AtomicAdd(int* to, int value) {
  const int before = *to;
  *to += value;
  return before;
}
inline void StoreRelease(uint32_t* to, uint32_t value) {
  std::atomic_ref(*to).store(value, std::memory_order_release);
}
inline uint32_t LoadAcquire(const uint32_t* from) {
  return std::atomic_ref(*const_cast<uint32_t*>(from)).load(std::memory_order_acquire);
}
inline void Pause() { FiberPause(); }

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
inline double BitsToDouble(uint64_t bits) { return std::bit_cast<double>(bits); }
inline uint64_t DoubleToBits(double x) { return std::bit_cast<uint64_t>(x); }

// ---- host ----

// Launches run at once, each with the next seed. Errors stay until Synchronize says them.
class Stream {
 public:
  explicit Stream(uint64_t seed = 1, DeviceSize size = {2, kSharedBytesSm90}) : seed_(seed), size_(size) {}
  DeviceSize size() const { return size_; }
  void MakeCurrent() {}
  uint64_t NextSeed() { return seed_++; }
  void Record(const std::string& error) {
    if (error_.empty()) error_ = error;
  }
  // What the kernel before the next one does: it is run at that one's first wait, so that whoever reads
  // before the wait reads what was there earlier. A kernel that never waits is an error then.
  void BeforeNextWait(std::function<void()> work) { before_wait_ = std::move(work); }
  std::function<void()> TakeBeforeNextWait() { return std::exchange(before_wait_, nullptr); }
  // What is launched while there are any is kept there, and does not run: as a graph is captured.
  using Launches = std::vector<std::function<void(Stream&)>>;
  void KeepLaunchesIn(Launches* launches) { launches_ = launches; }
  Launches* kept_launches() const { return launches_; }
  void RefuseWhileCaptured(const char* what) {
    if (launches_ != nullptr) Record(std::string(what) + " while a graph is captured");
    DoEnqueued();
  }
  // What a library enqueues: done as late as can be, before what comes next on the stream.
  void Enqueue(std::function<void(Stream&)> work) {
    (launches_ == nullptr ? &enqueued_ : launches_)->push_back(std::move(work));
  }
  void DoEnqueued() {
    for (const auto& work : std::exchange(enqueued_, {})) work(*this);
  }
  // Copies that nobody has waited for, as they were when they were queued.
  void QueueFrom(const void* pinned, size_t bytes) {
    queued_.push_back({.from = pinned, .bytes = BytesOf(pinned, bytes)});
  }
  void QueueTo(void* pinned, const void* from, size_t bytes) {
    queued_.push_back({.to = pinned, .bytes = BytesOf(from, bytes)});
    SpoilTargets();
  }
  uint64_t copies() const { return passed_ + queued_.size(); }  // that were queued so far
  size_t copies_queued() const { return queued_.size(); }       // that nobody has waited for
  // Somebody waits for the first so many. What is behind them may be under way already: who reads it reads
  // nonsense. "" or what is wrong with one that ends here.
  std::string EndCopies(uint64_t first) {
    if (passed_ < first) ++waits_;
    std::string error;
    for (; passed_ < first; ++passed_, queued_.pop_front()) {
      const auto& [from, to, bytes] = queued_.front();
      if (to != nullptr) {
        std::memcpy(to, bytes.data(), bytes.size());
      } else if (std::memcmp(from, bytes.data(), bytes.size()) != 0) {
        error = "pinned memory was written while a copy of it was queued";
      }
    }
    SpoilTargets();
    return error;
  }
  void EndCopies() { Record(EndCopies(copies())); }
  // How often somebody waited while copies were queued.
  int64_t waits() const { return waits_; }
  std::string Synchronize() {
    DoEnqueued();
    EndCopies();
    return TakeError();
  }
  std::string TakeError() { return std::exchange(error_, ""); }

 private:
  Launches enqueued_;
  uint64_t seed_;
  DeviceSize size_;
  std::string error_;
  std::function<void()> before_wait_;
  Launches* launches_ = nullptr;

  struct QueuedCopy {
    const void* from = nullptr;  // pinned, or
    void* to = nullptr;
    std::vector<std::byte> bytes;
  };
  static std::vector<std::byte> BytesOf(const void* from, size_t bytes) {
    const auto* first = static_cast<const std::byte*>(from);
    return {first, first + bytes};
  }
  void SpoilTargets() {
    for (const QueuedCopy& copy : queued_) {
      if (copy.to != nullptr) std::memset(copy.to, 0xff, copy.bytes.size());
    }
  }
  std::deque<QueuedCopy> queued_;
  uint64_t passed_ = 0;
  int64_t waits_ = 0;
};

// Where a stream stands when it is recorded there.
class Event {
 public:
  explicit Event(Stream&) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void Record(Stream& stream) { copies_ = stream.copies(); }
  // Until the stream has passed it: at once where it was never recorded. "" or what went wrong meanwhile.
  std::string Wait(Stream& stream) const {
    stream.DoEnqueued();
    return stream.EndCopies(copies_);
  }

 private:
  uint64_t copies_ = 0;
};

// Of the stream's device.
inline DeviceSize ReadDeviceSize(Stream& stream) { return stream.size(); }

enum class Order : uint8_t { kAfter, kOverlapping };

template <typename Kernel>
void Launch(Stream& stream, Index3 grid, int shared_bytes, const typename Kernel::Params& params,
            Order order = Order::kAfter) {
  static_assert(Kernel::kMinBlocks >= 1);
  constexpr bool kInOrder = requires { requires Kernel::kMeetsPeers; };
  if (Stream::Launches* const kept = stream.kept_launches(); kept != nullptr) {
    kept->push_back([grid, shared_bytes, params, order](Stream& later) {
      Launch<Kernel>(later, grid, shared_bytes, params, order);
    });
    return;
  }
  stream.DoEnqueued();
  std::function<void()> before_wait = stream.TakeBeforeNextWait();
  if (before_wait && order == Order::kAfter) std::exchange(before_wait, nullptr)();
  stream.Record(RunOnFibers({.grid = grid,
                             .threads = Kernel::kThreads,
                             .shared_bytes = shared_bytes,
                             .shared_limit = stream.size().shared_bytes,
                             .in_order = kInOrder,
                             .before_wait = std::move(before_wait)},
                            stream.NextSeed(), [&params] { Kernel::Run(params); }));
}

class Graph {
 public:
  template <typename Enqueue>
  Graph(Stream& stream, const Enqueue& enqueue) {
    error_ = stream.TakeError();
    if (!error_.empty()) return;
    stream.KeepLaunchesIn(&launches_);
    enqueue(stream);
    stream.KeepLaunchesIn(nullptr);
    error_ = stream.TakeError();
  }
  const std::string& error() const { return error_; }
  size_t nodes() const { return launches_.size(); }
  void Launch(Stream& stream) const {
    if (!error_.empty()) return stream.Record("no graph to launch: " + error_);
    for (const auto& launch : launches_) launch(stream);
  }

 private:
  Stream::Launches launches_;
  std::string error_;
};

// Of exactly this size, so that AddressSanitizer sees one byte too far.
inline void* AllocateDevice(Stream& stream, size_t bytes) {
  stream.RefuseWhileCaptured("memory is allocated");
  return std::aligned_alloc(16, (bytes + 15) / 16 * 16);
}
inline void FreeDevice(void* memory) { std::free(memory); }
inline void CopyToDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.RefuseWhileCaptured("memory is written");
  stream.EndCopies();
  if (bytes > 0) std::memcpy(to, from, bytes);
}
inline void CopyToHost(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.RefuseWhileCaptured("memory is read");
  stream.EndCopies();
  if (bytes > 0) std::memcpy(to, from, bytes);
}
inline void QueueCopyOnDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.RefuseWhileCaptured("memory is written");
  if (bytes > 0) std::memcpy(to, from, bytes);
}
inline void QueueCopyToDevice(Stream& stream, void* to, const void* from, size_t bytes) {
  QueueCopyOnDevice(stream, to, from, bytes);
  stream.QueueFrom(from, bytes);
}
inline void QueueCopyToHost(Stream& stream, void* to, const void* from, size_t bytes) {
  stream.RefuseWhileCaptured("memory is read");
  stream.QueueTo(to, from, bytes);
}
inline void QueueClear(Stream& stream, void* memory, size_t bytes) {
  stream.RefuseWhileCaptured("memory is written");
  std::memset(memory, 0, bytes);
}
inline void* AllocatePinned(Stream& stream, size_t bytes) { return AllocateDevice(stream, bytes); }
inline void FreePinned(void* memory) { FreeDevice(memory); }

}  // namespace quire::kernels::cuda
