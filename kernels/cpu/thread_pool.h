// The compute threads of one backend: a fork and a join per op, no queue. The engine's thread owns the pool,
// is its thread 0 and alone calls Run; with one thread, Run is a plain call. Idle threads spin for spin_us,
// then sleep on a futex. Run waits for parts, never for threads: what a thread that gets no core hasn't
// begun, thread 0 does itself. Every pool thread computes with denormals flushed.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace quire::kernels::cpu {

class ThreadPool {
 public:
  // threads >= 1 counts the caller; spin_us >= 0. Look at status() before anything else.
  ThreadPool(int threads, int spin_us);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // ResourceExhausted: the system has no more threads; the pool works with those that it got.
  const absl::Status& status() const { return status_; }
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(part, thread) once for each part below threads(); returns when all have returned. Part p runs
  // on thread p, or on thread 0 where that is free first. Tasks do not call Run.
  using Task = absl::FunctionRef<void(int part, int thread)>;
  void Run(Task task);

  // Calls body(i) for every i below count, each once, on whichever thread is free.
  void ForEach(int64_t count, absl::FunctionRef<void(int64_t)> body);

 private:
  // On its own cache line, since its thread and thread 0 race for it.
  struct alignas(64) Part {
    std::atomic<uint32_t> taken{0};  // in this epoch, by whoever moved it there from the one before
  };

  void Work(int thread);
  // True for one caller in each epoch. False for a thread that slept through `epoch`: its part was taken
  // then.
  bool Take(int part, uint32_t epoch);
  // Returns once `word` differs from `old`.
  void WaitForChange(const std::atomic<uint32_t>& word, uint32_t old) const;

  const int spin_us_;
  absl::Status status_;
  // Written by Run before it moves epoch_ on, read by who took a part of that epoch.
  const Task* task_ = nullptr;
  std::atomic<bool> exit_{false};
  std::vector<Part> parts_;
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> unfinished_{0};  // parts but the first
  alignas(64) std::atomic<int64_t> next_{0};
  std::vector<std::thread> workers_;
};

}  // namespace quire::kernels::cpu
