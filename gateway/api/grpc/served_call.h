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
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace quire::gateway {

class ServedCall : public std::enable_shared_from_this<ServedCall> {
 public:
  explicit ServedCall(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  virtual ~ServedCall() = default;

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
  // From gRPC's threads. Again: nothing more.
  void Leave() {
    if (gone_.exchange(true)) return;
    boost::asio::post(executor_, [self = shared_from_this()] {
      if (self->on_gone_) std::exchange(self->on_gone_, nullptr)();
    });
  }

 private:
  const boost::asio::any_io_executor executor_;
  std::atomic<bool> gone_ = false;
  std::function<void()> on_gone_;  // the coroutine's thread
};

}  // namespace quire::gateway
