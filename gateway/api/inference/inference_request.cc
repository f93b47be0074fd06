#include "gateway/api/inference/inference_request.h"

#include <optional>
#include <utility>

#include "base/core/status.h"
#include "gateway/api/chat/response_format.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/inference/declared_inference.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

void ReadResponses(FieldReader& fields, InferenceRequest& request) {
  request.stream = fields.Bool(kStream).value_or(false);
  request.sampling.choices = static_cast<uint32_t>(fields.Integer(kResponses).value_or(1));
  request.sampling.logprobs = request.stream;
  if (request.stream && request.sampling.choices > 1) {
    fields.Fail(kResponses, "a stream's events don't say which response they are of: give 1");
  }
}

void ReadWebhook(FieldReader& fields, InferenceRequest& request) {
  const std::optional<std::string> text = fields.String(kWebhook);
  if (!text) return;
  const absl::StatusOr<http::HttpsUrl> url = http::ParseHttpsUrl(*text);
  if (!url.ok()) return fields.Fail(kWebhook, MessageOf(url.status()));
  if (request.stream) fields.Fail(kWebhook, "it gets the answer whole: leave it or stream out");
  request.webhook = *url;
}

}  // namespace

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body, const std::string& model) {
  const ApiResult<nlohmann::ordered_json> root = ReadBodyObject(body);
  if (const auto* refused = std::get_if<http::ApiError>(&root)) return *refused;
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<nlohmann::ordered_json>(root), kInferenceShape, error);
  InferenceRequest request;
  std::optional<std::string> input = fields.String(kInferenceInput);
  if (!input || input->empty()) fields.Fail(kInferenceInput, "give the text that the model is to go on with");
  request.prompt = {.text = std::move(input).value_or(""), .add_special_tokens = false, .param = "input"};
  request.sampling = ReadSamplingFields(fields, {&kMaxNewTokens});
  request.sampling.model = model;
  request.sampling.format = ReadResponseFormat(fields);
  ReadResponses(fields, request);
  ReadWebhook(fields, request);
  fields.Refuse(kNoTools);
  for (const RefusedField& field : kUnsupported) fields.Refuse(field);
  for (const RefusedField& field : kChatRefused) fields.Refuse(field);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
