#include "gateway/api/chat/chat_request.h"

#include "gateway/api/chat/chat_turns.h"
#include "gateway/api/chat/reasoning_fields.h"
#include "gateway/api/chat/response_format.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/chat/unsupported_fields.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxLabelBytes = 512;

constexpr int64_t kMaxChoices = 4, kMaxTopLogprobs = 20;

void ReadChoices(FieldReader& fields, SamplingRequest& request) {
  request.choices = static_cast<uint32_t>(fields.Integer("n", 1, kMaxChoices).value_or(1));
  request.logprobs = fields.Bool("logprobs").value_or(false);
  const auto top = fields.Integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top.value_or(0) > 0 && !request.logprobs) {
    fields.Fail("top_logprobs", "it goes with \"logprobs\": true only");
  }
  request.top_logprobs = static_cast<uint32_t>(top.value_or(0));
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckLabels(FieldReader& fields) {
  for (const char* name :
       {"user", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"}) {
    fields.String(name, kMaxLabelBytes);
  }
  fields.Bool("store");
  for (const char* name : {"metadata", "prediction"}) {
    const json* value = fields.Find(name);
    if (value != nullptr && !value->is_object()) fields.Fail(name, "give an object");
  }
}

}  // namespace

ApiResult<ChatRequest> ParseChatRequest(std::string_view body) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* error = std::get_if<http::ApiError>(&root)) return *error;
  return ReadChatRequest(std::get<json>(root));
}

ApiResult<ChatRequest> ReadChatRequest(const json& body) {
  std::optional<http::ApiError> error;
  FieldReader fields(body, "", error);
  ChatRequest request;
  std::string model = ReadModelName(fields);
  request.prompt.turns = ReadTurns(fields, error);
  request.prompt.tools = ReadTools(fields, error);
  const StreamWish wish = ReadStreamFields(fields, error);
  request.stream = wish.stream;
  request.usage_frames = wish.usage_frames;
  request.sampling = ReadSamplingFields(fields, {"max_tokens", "max_completion_tokens"});
  request.sampling.model = std::move(model);
  ReadChoices(fields, request.sampling);
  CheckLabels(fields);
  ReadReasoning(fields, error, request);
  request.sampling.format = ReadResponseFormat(fields, error);
  RefuseUnsupportedFields(fields);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
