// Compiles grammars on threads of its own, so that nobody's stream waits for it, and keeps what it compiled.
// Owned by the InferenceService; any thread. What always holds: `done` is called once, never with a lock
// held, at once where the answer is there; who asks waits no longer than the limit, while the compilation
// goes on for whoever asks next; requests of one source that come together compile it once; what waits and
// what is kept is bounded, and who doesn't wait any more holds no place.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "worker/engine/grammar.h"

namespace quire::worker {

struct CompileLimits {
  int threads = 2;
  int64_t max_queued = 64;     // sources that no thread has taken up
  int64_t max_waiting = 4096;  // requests
  std::chrono::milliseconds wait{20'000};
  size_t cache_bytes = size_t{256} << 20;
};

class CompileQueue {
 public:
  using Result = absl::StatusOr<std::shared_ptr<const CompiledGrammar>>;
  using Done = std::function<void(Result)>;
  // Whoever asks for it; gone, the answer is wanted by nobody.
  using Asker = std::shared_ptr<const void>;

  CompileQueue(std::shared_ptr<const GrammarCompiler> compiler, int64_t vocab, CompileLimits limits,
               Metrics& metrics);
  // Waits for the compilations that run; who still waits is told Aborted.
  ~CompileQueue();
  CompileQueue(const CompileQueue&) = delete;
  CompileQueue& operator=(const CompileQueue&) = delete;

  // InvalidArgument: what is wrong with it, or that it takes too long. ResourceExhausted: too many wait, or
  // no thread took it up in time. `done` may not be called once the asker is gone.
  void Compile(const std::string& kind, const std::string& source, const Asker& asker, Done done)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Waiter {
    Time until;
    Done done;  // empty once it was called
    std::weak_ptr<const void> asker;
    bool begun = false;  // a thread compiles it

    bool waits() const { return done != nullptr && !asker.expired(); }
  };
  struct Job {
    std::string kind, source;
    std::vector<std::shared_ptr<Waiter>> waiters;
    bool begun = false;

    bool wanted() const {
      return std::ranges::any_of(waiters, [](const auto& one) { return one->waits(); });
    }
  };
  struct Kept {
    std::string key;
    Result result;
    size_t bytes = 0;
  };

  void RunCompiler() ABSL_LOCKS_EXCLUDED(mutex_);
  // Tells those whose time is up.
  void RunTimer() ABSL_LOCKS_EXCLUDED(mutex_);
  Result Run(const Job& job);
  // The one that is kept; null where there is none.
  const Result* Find(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Enqueue(const std::string& key, const std::string& kind, const std::string& source,
                       const Asker& asker, Done& done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsFull(const std::string& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Who is gone, and what is wanted by nobody.
  void DropUnwanted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Keep(const std::string& key, const Result& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Done Take(Waiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Done> TakeAll(Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !queue_.empty(); }
  bool HasWaiters() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !timeline_.empty(); }

  const std::shared_ptr<const GrammarCompiler> compiler_;
  const int64_t vocab_;
  const CompileLimits limits_;
  prometheus::Counter &compiles_, &hits_, &failures_, &timeouts_;
  prometheus::Histogram& seconds_;
  prometheus::Gauge& kept_bytes_;

  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);  // keys of jobs that no thread has taken up
  absl::flat_hash_map<std::string, Job> jobs_ ABSL_GUARDED_BY(mutex_);    // those, and those that run
  std::deque<std::shared_ptr<Waiter>> timeline_ ABSL_GUARDED_BY(mutex_);  // who is due first comes first
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Kept> kept_ ABSL_GUARDED_BY(mutex_);  // who was asked for last comes first
  absl::flat_hash_map<std::string, std::list<Kept>::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace quire::worker
