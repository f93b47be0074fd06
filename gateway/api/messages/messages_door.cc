#include "gateway/api/messages/messages_door.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/messages/messages_request.h"
#include "gateway/api/messages/messages_stream_writer.h"
#include "gateway/api/messages/messages_whole_writer.h"
#include "gateway/api/pipeline/plan.h"

namespace quire::gateway {

ApiResult<DoorRequest> ParseMessages(std::string_view body) {
  ApiResult<MessagesRequest> parsed = ParseMessagesRequest(body, MessagesUse::kAnswer);
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

ApiResult<Question> ParseMessagesToCount(std::string_view body) {
  ApiResult<MessagesRequest> parsed = ParseMessagesRequest(body, MessagesUse::kCount);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  MessagesRequest& request = std::get<MessagesRequest>(parsed);
  auto answer = [prompt = std::move(request.prompt)](
                    const CatalogModel& model, const std::function<bool()>& gone) -> ApiResult<std::string> {
    ApiResult<std::vector<TokenId>> ids = EncodePrompt(prompt, model, gone);
    if (auto* error = std::get_if<http::ApiError>(&ids)) return std::move(*error);
    return absl::StrCat("{\"input_tokens\":", std::get<std::vector<TokenId>>(ids).size(), "}");
  };
  return Question{.model = std::move(request.sampling.model), .answer = std::move(answer)};
}

}  // namespace quire::gateway
