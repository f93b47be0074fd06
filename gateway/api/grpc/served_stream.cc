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
    if (queued_bytes_ <= kMaxQueuedBytes && !watching_ && !writing_) co_return;
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
  WatchForStall();
  co_await UntilOver();
  stall_.cancel();
}

void ServedStream::WriteNext() {
  if (writing_ || finished_) return;
  if (gone()) {
    queue_.clear();
    queued_bytes_ = 0;
  }
  if (!queue_.empty()) {
    writing_ = true;
    ++writes_;
    StartWrite(&queue_.front().bytes);
  } else if (end_) {
    finished_ = true;
    Finish(*end_);
  }
}

void ServedStream::OnWriteDone(bool ok) {
  if (!ok) Leave();
  {
    MutexLock lock(&mutex_);
    writing_ = false;
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

bool ServedStream::CutIfStalled(uint64_t seen) {
  MutexLock lock(&mutex_);
  const bool stalled = writing_ && writes_ == seen && !done_;
  if (stalled) context_.TryCancel();
  return stalled;
}

// One timer for the call, armed again where the write that it saw has ended and another is under way.
void ServedStream::WatchForStall() {
  uint64_t seen = 0;
  {
    MutexLock lock(&mutex_);
    if (watching_ || !writing_) return;
    seen = writes_;
  }
  watching_ = true;
  stall_.expires_after(kStallLimit);
  stall_.async_wait([this, seen, self = shared_from_this()](const boost::system::error_code& error) {
    watching_ = false;
    if (!error && !CutIfStalled(seen)) WatchForStall();
  });
}

}  // namespace quire::gateway
