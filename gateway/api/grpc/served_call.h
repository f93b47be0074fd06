// The answering side of one gRPC call, for the coroutine that answers it: whether the client is still there,
// and what is sent to it. Made on a gRPC thread with the coroutine's executor; gRPC's reactions come from its
// threads, everything else is for the coroutine's. Shared by both, until gRPC is done with it and the
// coroutine has ended.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "base/core/mutex.h"
#include "gateway/api/grpc/waiter.h"

namespace quire::gateway {

class ServedCall : public std::enable_shared_from_this<ServedCall> {
 public:
  // `stall_limit`: for how long the client may take nothing of what is being sent. The context lives until
  // Over.
  ServedCall(boost::asio::any_io_executor executor, grpc::CallbackServerContext& context,
             std::chrono::milliseconds stall_limit)
      : executor_(std::move(executor)), context_(context), stall_limit_(stall_limit), stall_(executor_) {}
  virtual ~ServedCall() = default;

  // Keeps it until gRPC is done with it.
  void Begin() { self_ = shared_from_this(); }
  const boost::asio::any_io_executor& executor() const { return executor_; }
  // The client cancelled, its deadline passed, or its connection is gone.
  bool gone() const { return gone_; }
  // Calls it once, as soon as that is known; at once if it is. Null: nobody is told any more.
  void OnGone(std::function<void()> on_gone) {
    if (gone_ && on_gone) return on_gone();
    on_gone_ = std::move(on_gone);
  }

  // Queues a message; `positions` count as delivered when the transport has taken it.
  virtual void Queue(std::string_view message, uint32_t positions) = 0;
  // Sends what is queued; returns at once, unless too much is.
  virtual boost::asio::awaitable<void> Send() = 0;
  // Ends the call behind what is queued; returns when gRPC is done with it. Once, on every path.
  virtual boost::asio::awaitable<void> End(grpc::Status status) = 0;
  virtual uint64_t delivered() const = 0;

 protected:
  // gRPC is done with it: from its last reaction.
  void Over() ABSL_LOCKS_EXCLUDED(mutex_) {
    const std::shared_ptr<ServedCall> self = std::move(self_);
    {
      MutexLock lock(&mutex_);
      done_ = true;
    }
    waiter_.Wake();
  }
  boost::asio::awaitable<void> UntilOver();

  // Something is being sent from now on: a message, or the end.
  void Sending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    sending_ = true;
    ++sends_;
  }
  void Sent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { sending_ = false; }
  // After Sending, on the coroutine's thread: the call is cancelled once it has lasted for the limit.
  void WatchForStall() ABSL_LOCKS_EXCLUDED(mutex_);
  // From gRPC's threads. Again: nothing more.
  void Leave() {
    if (gone_.exchange(true)) return;
    boost::asio::post(executor_, [self = shared_from_this()] {
      if (self->on_gone_) std::exchange(self->on_gone_, nullptr)();
    });
  }

  mutable Mutex mutex_;
  Waiter waiter_{mutex_};
  bool done_ ABSL_GUARDED_BY(mutex_) = false;  // the call's context is no more
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;

 private:
  bool CutIfStalled(uint64_t seen) ABSL_LOCKS_EXCLUDED(mutex_);

  const boost::asio::any_io_executor executor_;
  std::atomic<bool> gone_ = false;
  grpc::CallbackServerContext& context_;
  const std::chrono::milliseconds stall_limit_;
  boost::asio::steady_timer stall_;  // the coroutine's thread, as the next two
  bool watching_ = false;
  std::function<void()> on_gone_;
  uint64_t sends_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<ServedCall> self_;
};

}  // namespace quire::gateway
