#include "kernels/cpu/thread_pool.h"

#include <immintrin.h>

#include <chrono>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {

ThreadPool::ThreadPool(int threads, int spin_us) : spin_us_(spin_us), parts_(threads) {
  workers_.reserve(threads - 1);
  try {
    for (int thread = 1; thread < threads; ++thread) {
      workers_.emplace_back([this, thread] { Work(thread); });
    }
  } catch (const std::system_error& error) {
    status_ = absl::ResourceExhaustedError(
        absl::StrCat("can't start ", threads, " compute threads, only ", this->threads(), ": ", error.what(),
                     "; raise the limit (ulimit -u, a cgroup's pids.max, memory), or give fewer --threads"));
  }
}

ThreadPool::~ThreadPool() {
  exit_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(Task task) {
  if (workers_.empty()) return task(0, 0);
  task_ = &task;
  unfinished_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  const uint32_t epoch = epoch_.fetch_add(1, std::memory_order_release) + 1;
  epoch_.notify_all();
  task(0, 0);
  for (int part = 1; part < threads(); ++part) {
    if (!Take(part, epoch)) continue;
    task(part, 0);
    unfinished_.fetch_sub(1, std::memory_order_relaxed);
  }
  while (const uint32_t left = unfinished_.load(std::memory_order_acquire)) WaitForChange(unfinished_, left);
}

bool ThreadPool::Take(int part, uint32_t epoch) {
  uint32_t before = epoch - 1;
  return parts_[part].taken.compare_exchange_strong(before, epoch, std::memory_order_acq_rel);
}

void ThreadPool::ForEach(int64_t count, absl::FunctionRef<void(int64_t)> body) {
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  next_.store(0, std::memory_order_relaxed);
  Run([&](int, int) {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  });
}

void ThreadPool::Work(int thread) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  for (;;) {
    WaitForChange(epoch_, seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (exit_.load(std::memory_order_relaxed)) return;
    if (!Take(thread, seen)) continue;
    (*task_)(thread, thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

void ThreadPool::WaitForChange(const std::atomic<uint32_t>& word, uint32_t old) const {
  using Clock = std::chrono::steady_clock;
  if (spin_us_ > 0) {
    const Clock::time_point deadline = Clock::now() + std::chrono::microseconds(spin_us_);
    do {
      for (int i = 0; i < 32; ++i) {
        if (word.load(std::memory_order_acquire) != old) return;
        _mm_pause();
      }
    } while (Clock::now() < deadline);
  }
  word.wait(old, std::memory_order_acquire);
}

}  // namespace quire::kernels::cpu
