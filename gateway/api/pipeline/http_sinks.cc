#include "gateway/api/pipeline/http_sinks.h"

#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;

awaitable<void> HttpStreamSink::Finish() {
  (co_await exchange_.Finish()).IgnoreError();  // the client has left: nobody to tell
}

awaitable<void> HttpStreamSink::Refuse(const http::ApiError& error) { co_await exchange_.SendError(error); }

void HttpWholeSink::Queue(std::string_view frame, uint32_t positions) {
  reply_.body += frame;
  marks_.push_back({reply_.body.size(), positions});
}

awaitable<void> HttpWholeSink::Finish() { co_await exchange_.Send(std::move(reply_), std::move(marks_)); }

awaitable<void> HttpWholeSink::Refuse(const http::ApiError& error) { co_await exchange_.SendError(error); }

}  // namespace quire::gateway
