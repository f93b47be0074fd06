// The compute threads of one backend: a fork and a join per op, no queue. The engine's thread owns the pool,
// is its thread 0 and alone calls Run; with one thread, Run is a plain call. Idle threads spin for spin_us,
// then sleep on a futex. Every pool thread computes with denormals flushed.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace quire::kernels::cpu {

class ThreadPool {
 public:
  // threads >= 1 counts the caller; spin_us >= 0.
  ThreadPool(int threads, int spin_us);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(0) here and task(1..threads-1) on the others; returns when all have. Tasks do not call Run.
  void Run(absl::FunctionRef<void(int)> task);

  // Calls body(i) for every i below count, each once, on whichever thread is free.
  void ForEach(int64_t count, absl::FunctionRef<void(int64_t)> body);

 private:
  void Work(int thread);
  // Returns once `word` differs from `old`.
  void WaitForChange(const std::atomic<uint32_t>& word, uint32_t old) const;

  const int spin_us_;
  // Written by Run before it moves epoch_ on, read by the workers after they saw that.
  const absl::FunctionRef<void(int)>* task_ = nullptr;  // null: exit
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> unfinished_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  std::vector<std::thread> workers_;
};

}  // namespace quire::kernels::cpu
