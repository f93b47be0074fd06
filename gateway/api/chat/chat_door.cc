#include "gateway/api/chat/chat_door.h"

#include <utility>

#include "gateway/api/chat/chat_request.h"
#include "gateway/api/chat/chat_stream_writer.h"
#include "gateway/api/chat/chat_whole_writer.h"

namespace quire::gateway {

ApiResult<DoorRequest> ParseChat(std::string_view body) {
  ApiResult<ChatRequest> parsed = ParseChatRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  request.prompt.separate_reasoning = request.separate_reasoning;
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = request.stream,
                   .make_writer = nullptr};
  door.make_writer = [stream = request.stream,
                      form = ChatForm{request.usage_frames, request.exclude_reasoning}](
                         AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<ChatStreamWriter>(head, form);
    return std::make_unique<ChatWholeWriter>(std::move(head), form);
  };
  return door;
}

}  // namespace quire::gateway
