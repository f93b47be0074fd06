#include "gateway/api/responses/responses_door.h"

#include <utility>

#include "gateway/api/responses/responses_request.h"
#include "gateway/api/responses/responses_stream_writer.h"
#include "gateway/api/responses/responses_whole_writer.h"

namespace quire::gateway {

ApiResult<DoorRequest> ParseResponses(std::string_view body) {
  ApiResult<ResponsesRequest> parsed = ParseResponsesRequest(body);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  ResponsesRequest& request = std::get<ResponsesRequest>(parsed);
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = request.stream,
                   .repeats = true,
                   .make_writer = nullptr};
  door.make_writer = [stream = request.stream,
                      echo = std::move(request.echo)](AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<ResponsesStreamWriter>(std::move(head), echo);
    return std::make_unique<ResponsesWholeWriter>(std::move(head), echo);
  };
  return door;
}

}  // namespace quire::gateway
