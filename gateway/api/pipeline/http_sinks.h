// Sinks over an HTTP exchange: a stream of server-sent events, and a whole body. Made by HttpDoor for one
// request, on its connection's thread; the exchange outlives them.
#pragma once

#include <string>
#include <vector>

#include "base/http/exchange.h"
#include "gateway/api/pipeline/sink.h"

namespace quire::gateway {

class HttpStreamSink final : public Sink {
 public:
  explicit HttpStreamSink(http::Exchange& exchange) : exchange_(exchange) {}

  void OnGone(std::function<void()> gone) override { exchange_.OnGone(std::move(gone)); }
  bool gone() const override { return exchange_.gone(); }
  void Open() override { exchange_.StartStream(); }
  boost::asio::awaitable<absl::Status> Flush() override { co_return co_await exchange_.SendFrames(); }
  boost::asio::awaitable<void> Finish() override;
  bool may_refuse() const override { return !exchange_.stream_started(); }
  boost::asio::awaitable<void> Refuse(const http::ApiError& error) override;

 private:
  void Queue(std::string_view frame, uint32_t positions) override { exchange_.Append(frame, positions); }
  uint64_t delivered() const override { return exchange_.delivered_units(); }

  http::Exchange& exchange_;
};

// The body leaves with marks at its frames' ends: what a client got of an answer that broke off is billed.
class HttpWholeSink final : public Sink {
 public:
  explicit HttpWholeSink(http::Exchange& exchange) : exchange_(exchange) {}

  void OnGone(std::function<void()> gone) override { exchange_.OnGone(std::move(gone)); }
  bool gone() const override { return exchange_.gone(); }
  void NoteFirstToken() override { exchange_.NoteFirstToken(); }
  boost::asio::awaitable<absl::Status> Flush() override { co_return absl::OkStatus(); }
  boost::asio::awaitable<void> Finish() override;
  bool may_refuse() const override { return true; }
  boost::asio::awaitable<void> Refuse(const http::ApiError& error) override;

 private:
  void Queue(std::string_view frame, uint32_t positions) override;
  uint64_t delivered() const override { return exchange_.delivered_units(); }

  http::Exchange& exchange_;
  http::Reply reply_;
  std::vector<http::Exchange::Mark> marks_;
};

}  // namespace quire::gateway
