// SIGTERM and SIGINT as a plain wait. Main calls BlockShutdownSignals before it starts a thread (so that
// every thread inherits the mask) and WaitForShutdownSignal once everything runs; what to drain afterwards is
// main's own story, and an ImpatientShutdown is what a second signal does meanwhile. Further ones do nothing.
#pragma once

#include <functional>
#include <thread>

#include "base/core/mutex.h"

namespace quire {

void BlockShutdownSignals();
// Returns the signal's number. SIGTERM and SIGINT only.
int WaitForShutdownSignal();
// Makes WaitForShutdownSignal return, from any thread (used by a component that can't go on).
void RequestShutdown();

// While it lives, the next shutdown signal calls `hurry`, once, on a thread of its own. Owned by main, made
// after the first signal was taken.
class ImpatientShutdown {
 public:
  explicit ImpatientShutdown(std::function<void()> hurry);
  ~ImpatientShutdown();  // returns when `hurry` isn't running
  ImpatientShutdown(const ImpatientShutdown&) = delete;
  ImpatientShutdown& operator=(const ImpatientShutdown&) = delete;

 private:
  const std::function<void()> hurry_;
  Mutex mutex_;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quire
