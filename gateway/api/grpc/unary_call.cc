#include "gateway/api/grpc/unary_call.h"

#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;

void UnaryCall::Queue(std::string_view message, uint32_t positions) {
  const grpc::Slice slice(message.data(), message.size());
  response_ = grpc::ByteBuffer(&slice, 1);
  positions_ = positions;
}

awaitable<void> UnaryCall::End(grpc::Status status) {
  const bool answered = status.ok();
  Finish(std::move(status));
  co_await waiter_.Until([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return done_; });
  if (answered && !gone()) delivered_ = positions_;
}

void UnaryCall::OnDone() {
  const std::shared_ptr<ServedCall> self = std::move(self_);
  {
    MutexLock lock(&mutex_);
    done_ = true;
  }
  waiter_.Wake();
}

}  // namespace quire::gateway
