// Events from any thread (a gRPC callback) into one coroutine (a request's handler). Push never waits; Wait
// hands over everything that has arrived, so that a burst costs one wake-up. Held by shared_ptr on both
// sides, so that a late Push finds a live mailbox. Unbounded by itself: the producer asks size() and stops
// reading its source when its reader is slow.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

#include "base/async/resumer.h"
#include "base/core/mutex.h"

namespace quire {

template <typename T>
class Mailbox : public std::enable_shared_from_this<Mailbox<T>> {
 public:
  // Any thread.
  void Push(T item) ABSL_LOCKS_EXCLUDED(mutex_) {
    Resumer waiter;
    {
      MutexLock lock(&mutex_);
      items_.push_back(std::move(item));
      waiter = std::move(waiter_);
    }
    waiter.Resume();
  }

  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return items_.size();
  }

  // The consumer's coroutine only: waits for at least one item and takes them all.
  boost::asio::awaitable<std::vector<T>> Wait() {
    while (true) {
      std::vector<T> items = Take();
      if (!items.empty()) co_return items;
      co_await Suspend([this](Resumer self) { Arm(std::move(self)); });
    }
  }

  // As Wait, but gives up after `limit` with nothing.
  boost::asio::awaitable<std::vector<T>> WaitFor(std::chrono::milliseconds limit) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, limit);
    timer.async_wait([self = this->shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->Wake();
    });
    while (true) {
      std::vector<T> items = Take();
      if (!items.empty() || timer.expiry() <= std::chrono::steady_clock::now()) co_return items;
      co_await Suspend([this](Resumer self) { Arm(std::move(self)); });
    }
  }

 private:
  std::vector<T> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return std::exchange(items_, {});
  }

  void Arm(Resumer self) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (items_.empty()) {
        waiter_ = std::move(self);
        return;
      }
    }
    self.Resume();
  }

  void Wake() ABSL_LOCKS_EXCLUDED(mutex_) {
    Resumer waiter;
    {
      MutexLock lock(&mutex_);
      waiter = std::move(waiter_);
    }
    waiter.Resume();
  }

  mutable Mutex mutex_;
  std::vector<T> items_ ABSL_GUARDED_BY(mutex_);
  Resumer waiter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire
