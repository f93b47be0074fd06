#include "gateway/api/grpc/served_message.h"

#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;

void ServedMessage::Queue(std::string_view message, uint32_t positions) {
  const grpc::Slice slice(message.data(), message.size());
  response_ = grpc::ByteBuffer(&slice, 1);
  positions_ = positions;
}

awaitable<void> ServedMessage::End(grpc::Status status) {
  const bool answered = status.ok();
  {
    MutexLock lock(&mutex_);
    Sending();
    Finish(std::move(status));
  }
  co_await UntilOver();
  if (answered && !gone()) delivered_ = positions_;
}

}  // namespace quire::gateway
