// A streamed call: messages queued by its coroutine, written one after another, and the call's end behind
// them. Always: Finish is called once, after the last write; a client that takes nothing for kStallLimit is
// cut off.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>

#include "gateway/api/grpc/served_call.h"

namespace quire::gateway {

class ServedStream final : public ServedCall, public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  static constexpr std::chrono::seconds kStallLimit{30};
  static constexpr size_t kMaxQueuedBytes = 256 << 10;  // beyond: Send waits

  ServedStream(boost::asio::any_io_executor executor, grpc::CallbackServerContext& context)
      : ServedCall(std::move(executor)), context_(context), stall_(this->executor()) {}

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
  void WatchForStall();
  // The write that was under way as `seen` still is: the call is cancelled.
  bool CutIfStalled(uint64_t seen);

  grpc::CallbackServerContext& context_;  // until done_
  boost::asio::steady_timer stall_;       // the coroutine's thread
  bool watching_ = false;                 // its

  std::deque<Message> queue_ ABSL_GUARDED_BY(mutex_);  // the first is being written where writing_
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t writes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t delivered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quire::gateway
