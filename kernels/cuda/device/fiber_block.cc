#include "kernels/cuda/device/fiber_block.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <utility>

// Declared weak: there when the program is built with AddressSanitizer, which must know whose stack is in
// use. (ThreadSanitizer takes all fibers for the one thread that they are; to tell it of each costs minutes.)
extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t size);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom,
                                                           size_t* size);
}

namespace quire::kernels::cuda {
namespace {

namespace context = boost::context;

constexpr size_t kStackBytes = 128 << 10;  // unoptimized, with sanitizers, frames are large
constexpr size_t kCanaryBytes = 64;
constexpr std::byte kPoison{0xff}, kCanary{0xa5};

void StartSwitch(void** fake_stack, const void* bottom, size_t size) {
  if (__sanitizer_start_switch_fiber != nullptr) __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}
void FinishSwitch(void* fake_stack, const void** bottom, size_t* size) {
  if (__sanitizer_finish_switch_fiber != nullptr) __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
}

struct Stopped {};  // thrown through a fiber that is to end

// Stacks belong to the block; Boost only borrows them.
struct BorrowedStack {
  context::stack_context allocate() { return context::stack_context(); }
  void deallocate(context::stack_context&) {}
};

struct SharedDeleter {
  void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t(128)); }
};

struct Fiber {
  FiberState state;
  context::fiber fiber, scheduler;  // where to go on, each seen from the other side
  void* fake_stack = nullptr;
  std::byte* stack = nullptr;
  bool done = false;  // with this block
  bool waits_for_block = false;
  unsigned exchanges = 0;
};

struct Warp {
  int arrived = 0;
  WarpOp op = WarpOp::kSync;
  Deposit deposits[2][kWarpLanes];  // a lane can be one exchange ahead of another, not two
};

class FiberBlock {
 public:
  FiberBlock(const FiberLaunch& launch, uint64_t seed, const std::function<void()>& body);
  ~FiberBlock();

  std::string Run();

  void SyncBlock(Fiber& self);
  void Pause(Fiber& self);
  void WaitForPriorKernel();
  WarpView Exchange(Fiber& self, WarpOp op, const void* value, size_t size);
  [[noreturn]] void Fail(const std::string& message);

 private:
  void MakeFiber(int thread);
  context::fiber FiberMain(Fiber& self, context::fiber&& from);
  void RunBlock(Index3 index);
  void Resume(int thread);
  void Yield(Fiber& self);
  int TakeAny();
  void CheckEnd();

  const FiberLaunch launch_;
  std::function<void()> before_wait_ = launch_.before_wait;  // null when it was run
  const std::function<void()>& body_;
  std::mt19937_64 random_;
  std::unique_ptr<std::byte[]> stacks_;
  std::unique_ptr<std::byte, SharedDeleter> shared_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Warp> warps_;
  std::vector<int> runnable_;
  int at_barrier_ = 0, done_ = 0;
  bool stopping_ = false;
  std::string error_;
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_bottom_ = nullptr;
  size_t scheduler_size_ = 0;
};

// Which fiber runs on this thread now: what threadIdx is to a GPU.
struct Current {
  FiberBlock* block = nullptr;
  Fiber* fiber = nullptr;
};
Current& CurrentOfThread() {
  thread_local Current current;
  return current;
}

FiberBlock::FiberBlock(const FiberLaunch& launch, uint64_t seed, const std::function<void()>& body)
    : launch_(launch),
      body_(body),
      random_(seed),
      stacks_(std::make_unique_for_overwrite<std::byte[]>(launch.threads * kStackBytes)),
      warps_(launch.threads / kWarpLanes) {
  if (launch.shared_bytes > 0) {
    shared_.reset(static_cast<std::byte*>(::operator new(launch.shared_bytes, std::align_val_t(128))));
  }
  for (int thread = 0; thread < launch.threads; ++thread) MakeFiber(thread);
}

FiberBlock::~FiberBlock() {
  stopping_ = true;
  for (int thread = 0; thread < launch_.threads; ++thread) Resume(thread);
}

void FiberBlock::MakeFiber(int thread) {
  auto fiber = std::make_unique<Fiber>();
  fiber->stack = stacks_.get() + thread * kStackBytes;
  std::fill_n(fiber->stack, kCanaryBytes, kCanary);
  fiber->state.thread = thread;
  fiber->state.grid = launch_.grid;
  fiber->state.shared = shared_.get();
  fiber->state.shared_bytes = launch_.shared_bytes;
  context::stack_context stack;
  stack.sp = fiber->stack + kStackBytes;
  stack.size = kStackBytes;
  fiber->fiber = context::fiber(
      std::allocator_arg, context::preallocated(stack.sp, stack.size, stack), BorrowedStack(),
      [this, self = fiber.get()](context::fiber&& from) { return FiberMain(*self, std::move(from)); });
  fibers_.push_back(std::move(fiber));
}

// Runs the body once per block, until it is told to stop.
context::fiber FiberBlock::FiberMain(Fiber& self, context::fiber&& from) {
  FinishSwitch(nullptr, &scheduler_bottom_, &scheduler_size_);
  self.scheduler = std::move(from);
  try {
    if (stopping_) throw Stopped();
    for (;;) {
      body_();
      self.done = true;
      ++done_;
      Yield(self);
    }
  } catch (const Stopped&) {
  }
  StartSwitch(nullptr, scheduler_bottom_, scheduler_size_);
  return std::move(self.scheduler);
}

void FiberBlock::Resume(int thread) {
  Fiber& fiber = *fibers_[thread];
  if (!fiber.fiber) return;
  CurrentOfThread() = {this, &fiber};
  StartSwitch(&scheduler_fake_stack_, fiber.stack, kStackBytes);
  fiber.fiber = std::move(fiber.fiber).resume();
  FinishSwitch(scheduler_fake_stack_, nullptr, nullptr);
  CurrentOfThread() = {};
}

void FiberBlock::Yield(Fiber& self) {
  StartSwitch(&self.fake_stack, scheduler_bottom_, scheduler_size_);
  self.scheduler = std::move(self.scheduler).resume();
  FinishSwitch(self.fake_stack, &scheduler_bottom_, &scheduler_size_);
  if (stopping_) throw Stopped();
}

void FiberBlock::Fail(const std::string& message) {
  const FiberState& at = CurrentOfThread().fiber->state;
  if (error_.empty()) {
    error_ = message + " (block " + std::to_string(at.block.x) + "," + std::to_string(at.block.y) + "," +
             std::to_string(at.block.z) + " thread " + std::to_string(at.thread) + ")";
  }
  stopping_ = true;
  throw Stopped();
}

void FiberBlock::SyncBlock(Fiber& self) {
  if (++at_barrier_ < launch_.threads) {
    self.waits_for_block = true;
    Yield(self);
    return;
  }
  at_barrier_ = 0;
  for (const auto& fiber : fibers_) {
    if (fiber->waits_for_block) runnable_.push_back(fiber->state.thread);
    fiber->waits_for_block = false;
  }
  runnable_.push_back(self.state.thread);  // the last to come is not the first to go
  Yield(self);
}

void FiberBlock::Pause(Fiber& self) {
  runnable_.push_back(self.state.thread);
  std::this_thread::yield();
  Yield(self);
}

void FiberBlock::WaitForPriorKernel() {
  if (before_wait_) std::exchange(before_wait_, nullptr)();
}

WarpView FiberBlock::Exchange(Fiber& self, WarpOp op, const void* value, size_t size) {
  const int warp_index = self.state.thread / kWarpLanes, lane = self.state.thread % kWarpLanes;
  Warp& warp = warps_[warp_index];
  if (warp.arrived > 0 && warp.op != op) Fail("lanes of a warp are at different warp functions");
  warp.op = op;
  Deposit* deposits = warp.deposits[self.exchanges++ % 2];
  if (size > 0) std::memcpy(deposits[lane].bytes, value, size);
  if (++warp.arrived < kWarpLanes) {
    Yield(self);
    return {deposits};
  }
  warp.arrived = 0;
  for (int other = 0; other < kWarpLanes; ++other) {
    if (other != lane) runnable_.push_back(warp_index * kWarpLanes + other);
  }
  return {deposits};
}

int FiberBlock::TakeAny() {
  const size_t at = random_() % runnable_.size();
  const int thread = runnable_[at];
  runnable_[at] = runnable_.back();
  runnable_.pop_back();
  return thread;
}

void FiberBlock::RunBlock(Index3 index) {
  if (shared_ != nullptr) std::fill_n(shared_.get(), launch_.shared_bytes, kPoison);
  done_ = at_barrier_ = 0;
  for (const auto& fiber : fibers_) {
    fiber->done = false;
    fiber->state.block = index;
    fiber->state.open_group.clear();
    fiber->state.groups.clear();
    runnable_.push_back(fiber->state.thread);
  }
  while (!runnable_.empty() && error_.empty()) Resume(TakeAny());
  CheckEnd();
}

void FiberBlock::CheckEnd() {
  if (error_.empty() && done_ < launch_.threads) {
    const auto waits =
        std::find_if(fibers_.begin(), fibers_.end(), [](const auto& fiber) { return !fiber->done; });
    error_ = std::to_string(launch_.threads - done_) + " of " + std::to_string(launch_.threads) +
             " threads wait for others that never come, " + std::to_string(at_barrier_) +
             " of them at the block's barrier (first: thread " + std::to_string((*waits)->state.thread) + ")";
  }
  for (const auto& fiber : fibers_) {
    if (error_.empty() && std::count(fiber->stack, fiber->stack + kCanaryBytes, kCanary) != kCanaryBytes) {
      error_ = "a thread's stack overflowed: raise kStackBytes in fiber_block.cc";
    }
  }
}

std::string FiberBlock::Run() {
  std::vector<Index3> blocks;
  for (int z = 0; z < launch_.grid.z; ++z) {
    for (int y = 0; y < launch_.grid.y; ++y) {
      for (int x = 0; x < launch_.grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  if (!launch_.in_order) std::shuffle(blocks.begin(), blocks.end(), random_);
  for (const Index3& block : blocks) {
    RunBlock(block);
    if (!error_.empty()) break;
  }
  if (before_wait_ && error_.empty()) error_ = "a kernel that may overlap never waits for the one before";
  return error_;
}

}  // namespace

std::string RunOnFibers(const FiberLaunch& launch, uint64_t seed, const std::function<void()>& body) {
  if (launch.threads <= 0 || launch.threads > 1024 || launch.threads % kWarpLanes != 0) {
    return "a block has whole warps, and 1024 threads at most: " + std::to_string(launch.threads);
  }
  if (launch.shared_bytes > launch.shared_limit) return "more shared memory than a block may have";
  if (launch.grid.x <= 0 || launch.grid.y <= 0 || launch.grid.z <= 0) return "an empty grid";
  return FiberBlock(launch, seed, body).Run();
}

FiberState& CurrentFiber() { return CurrentOfThread().fiber->state; }
void FiberWaitForPriorKernel() { CurrentOfThread().block->WaitForPriorKernel(); }
void FiberPause() { CurrentOfThread().block->Pause(*CurrentOfThread().fiber); }
void FiberSyncBlock() { CurrentOfThread().block->SyncBlock(*CurrentOfThread().fiber); }
WarpView FiberExchange(WarpOp op, const void* value, size_t size) {
  return CurrentOfThread().block->Exchange(*CurrentOfThread().fiber, op, value, size);
}
void FailLaunch(const std::string& message) { CurrentOfThread().block->Fail(message); }

}  // namespace quire::kernels::cuda
