#include "gateway/api/grpc/served_stream.h"

#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;

void ServedStream::Queue(std::string_view message, uint32_t positions) {
  const grpc::Slice slice(message.data(), message.size());
  MutexLock lock(&mutex_);
  queued_bytes_ += message.size();
  queue_.push_back({grpc::ByteBuffer(&slice, 1), positions});
}

awaitable<void> ServedStream::Send() {
  {
    MutexLock lock(&mutex_);
    WriteNext();
    if (queued_bytes_ <= kMaxQueuedBytes && !sending_) co_return;
  }
  WatchForStall();
  co_await waiter_.Until(
      [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return gone() || queued_bytes_ <= kMaxQueuedBytes; });
}

awaitable<void> ServedStream::End(grpc::Status status) {
  {
    MutexLock lock(&mutex_);
    end_ = std::move(status);
    WriteNext();
  }
  co_await UntilOver();
}

void ServedStream::WriteNext() {
  if (sending_) return;
  if (gone()) {
    queue_.clear();
    queued_bytes_ = 0;
  }
  if (!queue_.empty()) {
    Sending();
    StartWrite(&queue_.front().bytes);
  } else if (end_) {
    Sending();
    Finish(*end_);
  }
}

void ServedStream::OnWriteDone(bool ok) {
  if (!ok) Leave();
  {
    MutexLock lock(&mutex_);
    Sent();
    queued_bytes_ -= queue_.front().bytes.Length();
    if (ok) delivered_ += queue_.front().positions;
    queue_.pop_front();
    WriteNext();
  }
  waiter_.Wake();
}

void ServedStream::OnCancel() {
  Leave();
  waiter_.Wake();
}

uint64_t ServedStream::delivered() const {
  MutexLock lock(&mutex_);
  return delivered_;
}

}  // namespace quire::gateway
