// What SIGTERM and SIGINT, which main has blocked, mean while a rank joins its group and loads: `end` is
// called on a thread of its own, once, which ends the process. Owned by whoever loads, for that time. A
// signal that comes when this object is going away stays pending, for whoever waits for it next.
#pragma once

#include <functional>
#include <thread>

#include "base/core/fd.h"

namespace quire::worker {

class LoadSignals {
 public:
  explicit LoadSignals(std::function<void()> end);
  ~LoadSignals();
  LoadSignals(const LoadSignals&) = delete;
  LoadSignals& operator=(const LoadSignals&) = delete;

 private:
  const Fd signals_;  // a signalfd, which only looks at what is pending
  const Fd over_;     // an eventfd
  const std::function<void()> end_;
  std::thread thread_;
};

}  // namespace quire::worker
