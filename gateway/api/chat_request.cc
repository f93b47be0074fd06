#include "gateway/api/chat_request.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/api/chat_turns.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/strict_json.h"
#include "gateway/text/stop_matcher.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

constexpr int64_t kMaxMaxTokens = 1'000'000;
constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxStopTokenIds = 64;
constexpr size_t kMaxLogitBiases = 1024;
constexpr size_t kMaxLabelBytes = 512;

void ReadSampling(FieldReader& fields, SamplingWish& sampling) {
  sampling.temperature = fields.Number("temperature", {0, 2});
  sampling.top_p = fields.Number("top_p", {0, 1, /*min_excluded=*/true});
  sampling.min_p = fields.Number("min_p", {0, 1});
  sampling.top_k = fields.Integer("top_k", 0, 999);
  sampling.repetition_penalty = fields.Number("repetition_penalty", {0.01, 5});
  sampling.presence_penalty = fields.Number("presence_penalty", {-2, 2});
  sampling.frequency_penalty = fields.Number("frequency_penalty", {-2, 2});
}

void ReadLengths(FieldReader& fields, ChatRequest& request) {
  request.max_tokens = fields.Integer("max_tokens", 1, kMaxMaxTokens);
  const auto newer_name = fields.Integer("max_completion_tokens", 1, kMaxMaxTokens);
  if (newer_name && request.max_tokens && *newer_name != *request.max_tokens) {
    fields.Fail("max_completion_tokens", "it says something else than max_tokens: give one of the two");
  }
  if (newer_name) request.max_tokens = newer_name;
  request.min_tokens = fields.Integer("min_tokens", 0, kMaxMaxTokens).value_or(0);
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    fields.Fail("min_tokens", "give at most max_tokens");
  }
}

void ReadStop(FieldReader& fields, ChatRequest& request) {
  const json* stop = fields.Find("stop");
  if (stop == nullptr) return;
  const bool is_list = stop->is_array();
  const size_t count = is_list ? stop->size() : 1;
  if (count > kMaxStops) return fields.Fail("stop", absl::StrCat("give at most ", kMaxStops, " strings"));
  for (size_t i = 0; i < count; ++i) {
    const auto* text = (is_list ? (*stop)[i] : *stop).get_ptr<const std::string*>();
    if (text == nullptr || text->empty() || text->size() > kMaxStopBytes) {
      return fields.Fail(is_list ? absl::StrCat("stop.", i) : "stop",
                         absl::StrCat("give a string of 1 to ", kMaxStopBytes, " bytes"));
    }
    request.stop.push_back(*text);
  }
}

void ReadSeed(FieldReader& fields, ChatRequest& request) {
  const json* seed = fields.Find("seed");
  if (seed == nullptr) return;
  if (!seed->is_number_integer()) return fields.Fail("seed", "give an integer from -2^63 to 2^64-1");
  request.seed =
      seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
}

std::optional<int32_t> TokenIdFromKey(const std::string& key) {
  int32_t id = -1;
  auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0) return std::nullopt;
  return id;
}

void ReadLogitBias(FieldReader& fields, ChatRequest& request) {
  const json* biases = fields.Find("logit_bias");
  if (biases == nullptr) return;
  if (!biases->is_object() || biases->size() > kMaxLogitBiases) {
    return fields.Fail("logit_bias",
                       absl::StrCat("give an object of at most ", kMaxLogitBiases, " token ids"));
  }
  for (const auto& [key, bias] : biases->items()) {
    const auto id = TokenIdFromKey(key);
    if (!id) return fields.Fail("logit_bias", "every key is a token id, as \"151645\"");
    const double value = bias.is_number() ? bias.get<double>() : 1e9;
    if (!(value >= -100 && value <= 100)) {
      return fields.Fail(absl::StrCat("logit_bias.", *id), "give a number from -100 to 100");
    }
    request.logit_bias[*id] = value;
  }
}

void ReadStopTokenIds(FieldReader& fields, ChatRequest& request) {
  const json* ids = fields.Find("stop_token_ids");
  if (ids == nullptr) return;
  if (!ids->is_array() || ids->size() > kMaxStopTokenIds) {
    return fields.Fail("stop_token_ids",
                       absl::StrCat("give a list of at most ", kMaxStopTokenIds, " token ids"));
  }
  for (size_t i = 0; i < ids->size(); ++i) {
    const json& id = (*ids)[i];
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
      return fields.Fail(absl::StrCat("stop_token_ids.", i), "give a token id");
    }
    request.stop_token_ids.push_back(id.get<int32_t>());
  }
}

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
  if (option_fields.Bool("continuous_usage_stats").value_or(false)) {
    option_fields.Unsupported("continuous_usage_stats", "leave it out or give false");
  }
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckLabels(FieldReader& fields) {
  for (const char* name : {"user", "prompt_cache_key", "safety_identifier", "service_tier"}) {
    fields.String(name, kMaxLabelBytes);
  }
  fields.Bool("parallel_tool_calls");
}

bool IsEmpty(const json& value) { return (value.is_array() || value.is_object()) && value.empty(); }

bool IsOneOf(const json& value, std::initializer_list<const char*> words) {
  const auto* text = value.get_ptr<const std::string*>();
  return text != nullptr && std::find(words.begin(), words.end(), *text) != words.end();
}

// What a later version brings is refused where it would change the answer.
void RefuseWhatComesLater(FieldReader& fields) {
  if (fields.Integer("n", 1, 4).value_or(1) != 1) fields.Unsupported("n", "ask for one choice per request");
  if (fields.Integer("best_of", 1, 4).value_or(1) != 1) fields.Unsupported("best_of", "leave it out");
  if (fields.Bool("logprobs").value_or(false)) fields.Unsupported("logprobs", "leave it out or give false");
  if (fields.Integer("top_logprobs", 0, 20).value_or(0) != 0)
    fields.Unsupported("top_logprobs", "leave it out");
  for (const char* name : {"tools", "functions", "chat_template_kwargs"}) {
    if (const json* value = fields.Find(name); value != nullptr && !IsEmpty(*value)) {
      fields.Unsupported(name, "leave it out");
    }
  }
  for (const char* name : {"tool_choice", "function_call"}) {
    if (const json* value = fields.Find(name); value != nullptr && !IsOneOf(*value, {"none", "auto"})) {
      fields.Unsupported(name, "leave it out, or give \"none\" or \"auto\"");
    }
  }
  if (const json* format = fields.Find("response_format");
      format != nullptr &&
      !(format->is_object() && format->contains("type") && IsOneOf((*format)["type"], {"text"}))) {
    fields.Unsupported("response_format", "leave it out or give {\"type\": \"text\"}");
  }
  for (const char* name : {"reasoning", "reasoning_effort"}) {
    if (fields.Find(name) != nullptr) fields.Unsupported(name, "leave it out");
  }
  if (fields.Bool("separate_reasoning").value_or(false)) {
    fields.Unsupported("separate_reasoning", "leave it out or give false");
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
  std::optional<http::ApiError> error;
  FieldReader fields(*root, "", error);
  ChatRequest request;
  request.model = fields.String("model", 256).value_or("");
  if (request.model.empty()) fields.Fail("model", "name the model, as GET /v1/models lists them");
  request.turns = ReadTurns(fields, error);
  ReadStream(fields, error, request);
  ReadSampling(fields, request.sampling);
  ReadLengths(fields, request);
  ReadStop(fields, request);
  ReadSeed(fields, request);
  ReadLogitBias(fields, request);
  ReadStopTokenIds(fields, request);
  request.ignore_eos = fields.Bool("ignore_eos").value_or(false);
  CheckLabels(fields);
  RefuseWhatComesLater(fields);
  if (error) return *std::move(error);
  return request;
}

std::optional<http::ApiError> CheckTokenIds(const ChatRequest& request, int64_t vocabulary_size) {
  auto refuse = [&](const std::string& param, int32_t id) {
    return InvalidField(param, absl::StrCat(param, ": token id ", id,
                                            " is not in this model's vocabulary of ", vocabulary_size));
  };
  for (const auto& [id, bias] : request.logit_bias) {
    if (id >= vocabulary_size) return refuse(absl::StrCat("logit_bias.", id), id);
  }
  for (size_t i = 0; i < request.stop_token_ids.size(); ++i) {
    const int32_t id = request.stop_token_ids[i];
    if (id >= vocabulary_size) return refuse(absl::StrCat("stop_token_ids.", i), id);
  }
  return std::nullopt;
}

}  // namespace quire::gateway
