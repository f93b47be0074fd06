// Runs a kernel without a GPU: the blocks of a grid one after another in shuffled order, each thread of a
// block on a fiber of its own (Boost.Context), all on the calling thread. A fiber runs until it waits; which
// of those that may go on is next, a seeded generator says. So a kernel that relies on an order, or lacks a
// barrier, fails for some seed, and the same seed fails again. Shared memory starts as NaNs. A barrier that
// some threads never reach, lanes of a warp in different functions, or addresses outside of shared memory end
// the run with words. Used by device_fiber.h and its tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/device/types.h"

namespace quire::kernels::cuda {

struct FiberLaunch {
  Index3 grid;
  int threads = 32;  // of a block, a multiple of 32
  int shared_bytes = 0;
  int shared_limit = kSharedBytesSm90;
  bool in_order = false;              // blocks, by their number
  std::function<void()> before_wait;  // run when the first thread waits for the kernel before
};

// "" or what went wrong first.
std::string RunOnFibers(const FiberLaunch& launch, uint64_t seed, const std::function<void()>& body);

// ---- for device_fiber.h and fiber_warp.cc: called on a fiber ----

struct PendingCopy {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;  // null: zeros
};

struct FiberState {
  int thread = 0;
  Index3 block, grid;
  std::byte* shared = nullptr;
  size_t shared_bytes = 0;
  std::vector<PendingCopy> open_group;
  std::vector<std::vector<PendingCopy>> groups;  // committed, oldest first
};
FiberState& CurrentFiber();

void FiberSyncBlock();
void FiberPause();  // lets other fibers go on, and other threads
void FiberWaitForPriorKernel();

enum class WarpOp : uint8_t { kSync, kShuffle, kBallot, kLdMatrix, kMma };

inline constexpr size_t kDepositBytes = 32;
struct alignas(16) Deposit {
  std::byte bytes[kDepositBytes];
};

// What every lane of the warp brought.
struct WarpView {
  const Deposit* lanes = nullptr;
  template <typename T>
  T Of(int lane) const {
    static_assert(sizeof(T) <= kDepositBytes);
    T value;
    std::memcpy(&value, lanes[lane].bytes, sizeof(T));
    return value;
  }
};

// Brings `size` bytes to the warp and waits for all its lanes, which must be at the same `op`. The view is
// good until this lane's next exchange.
WarpView FiberExchange(WarpOp op, const void* value, size_t size);

// Ends the launch with this message.
[[noreturn]] void FailLaunch(const std::string& message);

}  // namespace quire::kernels::cuda
