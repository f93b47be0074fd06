#include "gateway/api/messages/messages_door.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/messages_request.h"
#include "gateway/api/messages/messages_stream_writer.h"
#include "gateway/api/messages/messages_whole_writer.h"

namespace quire::gateway {
namespace {

ApiResult<DoorRequest> ParseTo(MessagesUse use, std::string_view body) {
  ApiResult<MessagesRequest> parsed = ParseMessagesRequest(body, use);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  MessagesRequest& request = std::get<MessagesRequest>(parsed);
  const MessagesForm form{.stops = request.sampling.stop,
                          .tells_cached = request.tells_cached,
                          .omits_thinking = request.omits_thinking};
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = request.stream,
                   .make_writer = nullptr};
  door.make_writer = [stream = request.stream, form](AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<MessagesStreamWriter>(std::move(head), form);
    return std::make_unique<MessagesWholeWriter>(std::move(head), form);
  };
  return door;
}

}  // namespace

ApiResult<DoorRequest> ParseMessages(std::string_view body) { return ParseTo(MessagesUse::kAnswer, body); }

ApiResult<DoorRequest> ParseMessagesToCount(std::string_view body) {
  return ParseTo(MessagesUse::kCount, body);
}

boost::asio::awaitable<void> MessagesCounter::Handle(http::Exchange& exchange) const {
  const ApiResult<Prepared> prepared = co_await door_.Prepare(exchange);
  if (const auto* error = std::get_if<http::ApiError>(&prepared)) {
    co_return co_await exchange.SendError(*error);
  }
  http::Reply reply;
  reply.body =
      absl::StrCat("{\"input_tokens\":", std::get<Prepared>(prepared).plans.front().prompt.size(), "}");
  co_await exchange.Send(std::move(reply));
}

}  // namespace quire::gateway
