// A call that is answered by one message. What it carries counts as delivered when the call has ended well
// with its client still there. Always: Finish is called once.
#pragma once

#include <memory>

#include "gateway/api/grpc/served_call.h"

namespace quire::gateway {

class ServedMessage final : public ServedCall, public grpc::ServerUnaryReactor {
 public:
  // `response` is the call's own, until gRPC is done with it.
  ServedMessage(boost::asio::any_io_executor executor, grpc::CallbackServerContext& context,
                std::chrono::milliseconds stall_limit, grpc::ByteBuffer& response)
      : ServedCall(std::move(executor), context, stall_limit), response_(response) {}

  void Queue(std::string_view message, uint32_t positions) override;
  boost::asio::awaitable<void> Send() override { co_return; }
  boost::asio::awaitable<void> End(grpc::Status status) override;
  uint64_t delivered() const override { return delivered_; }

 private:
  void OnCancel() override { Leave(); }
  void OnDone() override { Over(); }

  grpc::ByteBuffer& response_;
  uint32_t positions_ = 0;  // the coroutine's, as the next
  uint64_t delivered_ = 0;
};

}  // namespace quire::gateway
