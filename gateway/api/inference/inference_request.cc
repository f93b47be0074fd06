#include "gateway/api/inference/inference_request.h"

#include <optional>
#include <utility>

#include "gateway/api/chat/response_format.h"
#include "gateway/api/chat/unsupported_fields.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

constexpr int64_t kMostResponses = 4;

void ReadResponses(FieldReader& fields, InferenceRequest& request) {
  request.stream = fields.Bool("stream").value_or(false);
  request.sampling.choices =
      static_cast<uint32_t>(fields.Integer("num_responses", 1, kMostResponses).value_or(1));
  request.sampling.logprobs = request.stream;
  if (request.stream && request.sampling.choices > 1) {
    fields.Fail("num_responses", "a stream's events don't say which response they are of: give 1");
  }
}

}  // namespace

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body, const std::string& model) {
  const ApiResult<nlohmann::ordered_json> root = ReadBodyObject(body);
  if (const auto* refused = std::get_if<http::ApiError>(&root)) return *refused;
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<nlohmann::ordered_json>(root), "", error);
  InferenceRequest request;
  std::optional<std::string> input = fields.String("input", SIZE_MAX);
  if (!input || input->empty()) fields.Fail("input", "give the text that the model is to go on with");
  request.prompt = {.text = std::move(input).value_or(""), .add_special_tokens = false, .param = "input"};
  request.sampling = ReadSamplingFields(fields, {"max_new_tokens"});
  request.sampling.model = model;
  request.sampling.format = ReadResponseFormat(fields, error);
  ReadResponses(fields, request);
  if (fields.FindFilled("webhook") != nullptr) {
    fields.Unsupported("webhook", "leave it out: the answer comes as the reply");
  }
  if (fields.FindFilled("tools") != nullptr) fields.Fail("tools", "only chats have tools: ask for one");
  RefuseUnsupportedFields(fields);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
