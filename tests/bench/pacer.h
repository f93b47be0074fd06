// Ticks for the benches' mock workers: every subscriber is called once per interval, counted from when it
// came, by one thread. Any thread may add.
#pragma once

#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "base/core/mutex.h"

namespace quire::bench {

class Pacer {
 public:
  // False: it wants no more.
  using Tick = std::function<bool()>;

  explicit Pacer(absl::Duration interval) : interval_(interval), thread_([this] { Run(); }) {}
  ~Pacer() {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }

  // A tick must not wait and must not add.
  void Add(Tick tick) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    due_.emplace(absl::Now() + interval_, std::move(tick));
  }

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    while (!stopping_) {
      const absl::Time next = due_.empty() ? absl::Now() + interval_ : due_.begin()->first;
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), next - absl::Now());
      const absl::Time now = absl::Now();
      while (!due_.empty() && due_.begin()->first <= now) {
        auto node = due_.extract(due_.begin());
        node.key() += interval_;
        if (node.mapped()()) due_.insert(std::move(node));
      }
    }
  }

  const absl::Duration interval_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::multimap<absl::Time, Tick> due_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace quire::bench
