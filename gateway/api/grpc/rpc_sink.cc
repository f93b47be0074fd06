#include "gateway/api/grpc/rpc_sink.h"

#include "gateway/api/grpc/rpc_errors.h"

namespace quire::gateway {

using boost::asio::awaitable;

awaitable<absl::Status> RpcSink::Flush() {
  co_await call_.Send();
  if (call_.gone()) co_return absl::CancelledError("the client has left");
  co_return absl::OkStatus();
}

awaitable<void> RpcSink::Finish() {
  ended_ = true;
  http_status_ = 200;
  co_await call_.End(grpc::Status::OK);
}

awaitable<void> RpcSink::Refuse(const http::ApiError& error) {
  ended_ = true;
  http_status_ = error.status;
  error_code_ = error.code;
  co_await call_.End(RpcStatusOf(error));
}

}  // namespace quire::gateway
