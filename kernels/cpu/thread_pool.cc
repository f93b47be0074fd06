#include "kernels/cpu/thread_pool.h"

#include <immintrin.h>

#include <chrono>

#include "kernels/cpu/float_mode.h"

namespace quire::kernels::cpu {

ThreadPool::ThreadPool(int threads, int spin_us) : spin_us_(spin_us) {
  for (int thread = 1; thread < threads; ++thread) {
    workers_.emplace_back([this, thread] { Work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  task_ = nullptr;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(absl::FunctionRef<void(int)> task) {
  if (workers_.empty()) return task(0);
  task_ = &task;
  unfinished_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  task(0);
  while (const uint32_t left = unfinished_.load(std::memory_order_acquire)) WaitForChange(unfinished_, left);
}

void ThreadPool::ForEach(int64_t count, absl::FunctionRef<void(int64_t)> body) {
  if (workers_.empty() || count == 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  next_.store(0, std::memory_order_relaxed);
  Run([&](int) {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) body(i);
  });
}

void ThreadPool::Work(int thread) {
  const FlushDenormals flush;
  uint32_t seen = 0;
  for (;;) {
    WaitForChange(epoch_, seen);
    ++seen;  // Run moves on only after every worker has finished, so none is ever skipped
    if (task_ == nullptr) return;
    (*task_)(thread);
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
