// One coroutine that waits for something that other threads bring about, under a mutex of its owner. Part of
// a call.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <utility>

#include "base/async/resumer.h"
#include "base/core/mutex.h"

namespace quire::gateway {

class Waiter {
 public:
  explicit Waiter(Mutex& mutex) : mutex_(mutex) {}

  // Until `ready()`, which is asked under the mutex.
  template <typename Ready>
  boost::asio::awaitable<void> Until(Ready ready) {
    bool is_ready = false;
    while (!is_ready) {
      co_await Suspend([&](Resumer self) {
        {
          MutexLock lock(&mutex_);
          is_ready = ready();
          if (!is_ready) {
            waiting_ = std::move(self);
            return;
          }
        }
        self.Resume();
      });
    }
  }

  // Whoever has changed something, not under the mutex: it looks again.
  void Wake() {
    Resumer waiting;
    {
      MutexLock lock(&mutex_);
      waiting = std::move(waiting_);
    }
    waiting.Resume();
  }

 private:
  Mutex& mutex_;
  Resumer waiting_;  // under the mutex
};

}  // namespace quire::gateway
