#include "gateway/api/chat/chat_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/strict_json.h"
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

void ReadStream(FieldReader& fields, std::optional<http::ApiError>& error, ChatRequest& request) {
  request.stream = fields.Bool("stream").value_or(false);
  const json* options = fields.Find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.Fail("stream_options", "give an object");
  if (!request.stream) return fields.Fail("stream_options", "it goes with \"stream\": true only");
  FieldReader option_fields(*options, "stream_options.", error);
  if (const auto include = option_fields.Bool("include_usage")) {
    request.usage_frames = *include ? UsageFrames::kLastChunk : UsageFrames::kNone;
  }
  option_fields.Bool("include_obfuscation");
  if (option_fields.Bool("continuous_usage_stats").value_or(false)) {
    option_fields.Unsupported("continuous_usage_stats", "leave it out or give false");
  }
}

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
  absl::StatusOr<json> root = ParseStrictJson(body);
  if (!root.ok()) {
    return BadJson(absl::StrCat("the request body is not acceptable JSON: ", root.status().message()));
  }
  if (!root->is_object()) {
    return BadJson("the request body must be a JSON object");
  }
  return ReadChatRequest(*root);
}

ApiResult<ChatRequest> ReadChatRequest(const json& body) {
  std::optional<http::ApiError> error;
  FieldReader fields(body, "", error);
  ChatRequest request;
  std::string model = ReadModelName(fields);
  request.prompt.turns = ReadTurns(fields, error);
  request.prompt.tools = ReadTools(fields, error);
  ReadStream(fields, error, request);
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
