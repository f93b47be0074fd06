// A sink over a gRPC call: each frame is a message, an error is the call's status, also after messages. One
// per request, its coroutine's.
#pragma once

#include <string>

#include "base/core/clock.h"
#include "base/http/request_record.h"
#include "gateway/api/grpc/served_call.h"
#include "gateway/api/pipeline/sink.h"

namespace quire::gateway {

class RpcSink final : public Sink {
 public:
  RpcSink(ServedCall& call, const Clock& clock) : call_(call), clock_(clock) {}

  void OnGone(std::function<void()> gone) override { call_.OnGone(std::move(gone)); }
  bool gone() const override { return call_.gone(); }
  void NoteFirstToken() override {
    if (first_token_us_ == 0) first_token_us_ = clock_.NowUs();
  }
  boost::asio::awaitable<absl::Status> Flush() override;
  boost::asio::awaitable<void> Finish() override;
  bool may_refuse() const override { return true; }
  boost::asio::awaitable<void> Refuse(const http::ApiError& error) override;

  // Ends the call of a client that has left.
  boost::asio::awaitable<void> Abandon() { co_await call_.End(grpc::Status::CANCELLED); }
  bool ended() const { return ended_; }
  // How it ended, as HTTP would say it; 499 where the client left before.
  int http_status() const { return http_status_; }
  int64_t first_token_us() const { return first_token_us_; }  // 0: there was none
  const std::string& error_code() const { return error_code_; }

 private:
  void Queue(std::string_view frame, uint32_t positions) override { call_.Queue(frame, positions); }
  uint64_t delivered() const override { return call_.delivered(); }

  ServedCall& call_;
  const Clock& clock_;
  bool ended_ = false;
  int http_status_ = http::kStatusClientGone;
  int64_t first_token_us_ = 0;
  std::string error_code_;
};

}  // namespace quire::gateway
