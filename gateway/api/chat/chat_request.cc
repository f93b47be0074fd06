#include "gateway/api/chat/chat_request.h"

#include "gateway/api/chat/chat_turns.h"
#include "gateway/api/chat/declared_chat.h"
#include "gateway/api/chat/reasoning_fields.h"
#include "gateway/api/chat/response_format.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

void ReadChoices(FieldReader& fields, SamplingRequest& request) {
  request.choices = static_cast<uint32_t>(fields.Integer(kChoices).value_or(1));
  request.logprobs = fields.Bool(kLogprobs).value_or(false);
  const auto top = fields.Integer(kTopLogprobs);
  if (top.value_or(0) > 0 && !request.logprobs) {
    fields.Fail(kTopLogprobs, "it goes with \"logprobs\": true only");
  }
  request.top_logprobs = static_cast<uint32_t>(top.value_or(0));
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckLabels(FieldReader& fields) {
  for (const StringField& label : kChatLabels) fields.String(label);
  fields.Bool(kStore);
  fields.Object(kMetadata);
  fields.Object(kPrediction);
}

}  // namespace

ApiResult<ChatRequest> ParseChatRequest(std::string_view body) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* error = std::get_if<http::ApiError>(&root)) return *error;
  return ReadChatRequest(std::get<json>(root));
}

ApiResult<ChatRequest> ReadChatRequest(const json& body) {
  std::optional<http::ApiError> error;
  FieldReader fields(body, kChatShape, error);
  ChatRequest request;
  std::string model = ReadModelName(fields);
  request.prompt.turns = ReadTurns(fields, error);
  request.prompt.tools = ReadTools(fields);
  const StreamWish wish = ReadStreamFields(fields);
  request.stream = wish.stream;
  request.usage_frames = wish.usage_frames;
  request.sampling = ReadSamplingFields(fields, {&kMaxTokens, &kMaxCompletionTokens});
  request.sampling.model = std::move(model);
  ReadChoices(fields, request.sampling);
  CheckLabels(fields);
  ReadReasoning(fields, request);
  request.sampling.format = ReadResponseFormat(fields);
  for (const RefusedField& field : kUnsupported) fields.Refuse(field);
  for (const RefusedField& field : kChatRefused) fields.Refuse(field);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
