#include "gateway/api/grpc/served_call.h"

namespace quire::gateway {

boost::asio::awaitable<void> ServedCall::UntilOver() {
  WatchForStall();
  co_await waiter_.Until([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return done_; });
  stall_.cancel();
}

bool ServedCall::CutIfStalled(uint64_t seen) {
  MutexLock lock(&mutex_);
  const bool stalled = sending_ && sends_ == seen && !done_;
  if (stalled) context_.TryCancel();
  return stalled;
}

// One timer for the call, armed again where what it saw being sent was sent, and something else is being.
void ServedCall::WatchForStall() {
  uint64_t seen = 0;
  {
    MutexLock lock(&mutex_);
    if (watching_ || !sending_ || done_) return;
    seen = sends_;
  }
  watching_ = true;
  stall_.expires_after(stall_limit_);
  stall_.async_wait([this, seen, self = shared_from_this()](const boost::system::error_code& error) {
    watching_ = false;
    if (!error && !CutIfStalled(seen)) WatchForStall();
  });
}

}  // namespace quire::gateway
