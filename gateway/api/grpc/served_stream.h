// A streamed call: messages queued by its coroutine, written one after another, and the call's end behind
// them. Always: Finish is called once, after the last write; a client that takes nothing for the stall limit
// is cut off.
#pragma once

#include <deque>
#include <optional>

#include "gateway/api/grpc/served_call.h"

namespace quire::gateway {

class ServedStream final : public ServedCall, public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  static constexpr size_t kMaxQueuedBytes = 256 << 10;  // beyond: Send waits

  using ServedCall::ServedCall;

  void Queue(std::string_view message, uint32_t positions) override;
  boost::asio::awaitable<void> Send() override;
  boost::asio::awaitable<void> End(grpc::Status status) override;
  uint64_t delivered() const override;

 private:
  struct Message {
    grpc::ByteBuffer bytes;
    uint32_t positions;
  };

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { Over(); }
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::deque<Message> queue_
      ABSL_GUARDED_BY(mutex_);  // the first is being written while sending_, unless the end is
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t delivered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::gateway
