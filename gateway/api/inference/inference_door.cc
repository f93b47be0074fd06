#include "gateway/api/inference/inference_door.h"

#include <utility>

#include "gateway/api/inference/inference_request.h"
#include "gateway/api/inference/inference_writers.h"

namespace quire::gateway {

ApiResult<DoorRequest> ParseInference(std::string_view body, const std::string& model) {
  ApiResult<InferenceRequest> parsed = ParseInferenceRequest(body, model);
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  InferenceRequest& request = std::get<InferenceRequest>(parsed);
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = request.stream,
                   .make_writer = nullptr,
                   .webhook = std::move(request.webhook)};
  door.make_writer = [stream = request.stream](AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<InferenceStreamWriter>(std::move(head));
    return std::make_unique<InferenceWholeWriter>(std::move(head));
  };
  return door;
}

}  // namespace quire::gateway
