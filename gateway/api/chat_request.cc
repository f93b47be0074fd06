#include "gateway/api/chat_request.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/strict_json.h"
#include "gateway/api/chat_turns.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/unsupported_fields.h"
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
  sampling.temperature = fields.Number("temperature", 0, 2);
  sampling.top_p = fields.Number("top_p", 0, 1);
  sampling.min_p = fields.Number("min_p", 0, 1);
  sampling.top_k = fields.Integer("top_k", 0, 999);
  sampling.repetition_penalty = fields.Number("repetition_penalty", 0.01, 5);
  sampling.presence_penalty = fields.Number("presence_penalty", -2, 2);
  sampling.frequency_penalty = fields.Number("frequency_penalty", -2, 2);
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
  const json number = AsInteger(*seed);
  if (!number.is_number_integer()) return fields.Fail("seed", "give an integer from -2^63 to 2^64-1");
  request.seed =
      number.is_number_unsigned() ? number.get<uint64_t>() : static_cast<uint64_t>(number.get<int64_t>());
}

std::optional<int32_t> TokenIdFromKey(const std::string& key) {
  int32_t id = -1;
  auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  // One id has one spelling, so that none is given twice.
  if (error != std::errc() || end != key.data() + key.size() || id < 0 || key != std::to_string(id)) {
    return std::nullopt;
  }
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
    const json id = AsInteger((*ids)[i]);
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
  option_fields.Bool("include_obfuscation");
  if (option_fields.Bool("continuous_usage_stats").value_or(false)) {
    option_fields.Unsupported("continuous_usage_stats", "leave it out or give false");
  }
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckLabels(FieldReader& fields) {
  for (const char* name :
       {"user", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier"}) {
    fields.String(name, kMaxLabelBytes);
  }
  for (const char* name : {"parallel_tool_calls", "store"}) fields.Bool(name);
  for (const char* name : {"metadata", "prediction"}) {
    const json* value = fields.Find(name);
    if (value != nullptr && !value->is_object()) fields.Fail(name, "give an object");
  }
}

// Whether the model is to reason, as each of several fields may say it; they have to agree.
class ReasoningWish {
 public:
  explicit ReasoningWish(ChatRequest& request) : request_(request) {}

  // `path` is the field's, seen from `fields`; `full_path` seen from the request.
  void Say(FieldReader& fields, const char* path, const char* full_path, bool on) {
    if (on_ && *on_ != on) return fields.Fail(path, "another field says the opposite: give one of them");
    on_ = on;
    if (!on) request_.no_reasoning_field = full_path;
  }
  void ReadEffort(FieldReader& fields, const char* name, const char* full_path) {
    const std::optional<std::string> effort = fields.String(name, kMaxLabelBytes);
    if (!effort) return;
    const auto* found = std::find(std::begin(kEfforts), std::end(kEfforts), *effort);
    if (found == std::end(kEfforts)) {
      return fields.Fail(name, "give none, minimal, low, medium, high, xhigh or max");
    }
    Say(fields, name, full_path, *effort != "none");
  }
  void ReadSwitch(FieldReader& fields, const char* name, const char* full_path) {
    if (const auto on = fields.Bool(name)) Say(fields, name, full_path, *on);
  }

 private:
  static constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

  ChatRequest& request_;
  std::optional<bool> on_;
};

void ReadReasoning(FieldReader& fields, std::optional<http::ApiError>& error, ChatRequest& request) {
  request.separate_reasoning = fields.Bool("separate_reasoning").value_or(false);
  ReasoningWish wish(request);
  wish.ReadEffort(fields, "reasoning_effort", "reasoning_effort");
  wish.ReadSwitch(fields, "enable_thinking", "enable_thinking");
  if (const json* reasoning = fields.Find("reasoning")) {
    if (!reasoning->is_object()) return fields.Fail("reasoning", "give an object");
    FieldReader own(*reasoning, "reasoning.", error);
    wish.ReadEffort(own, "effort", "reasoning.effort");
    wish.ReadSwitch(own, "enabled", "reasoning.enabled");
    for (const char* name : {"max_tokens", "summary", "generate_summary"}) {
      if (own.FindFilled(name) != nullptr) own.Unsupported(name, "leave it out");
    }
    if (own.Bool("exclude").value_or(false)) own.Unsupported("exclude", "leave it out or give false");
  }
  if (const json* variables = fields.Find("chat_template_kwargs")) {
    if (!variables->is_object()) return fields.Fail("chat_template_kwargs", "give an object");
    FieldReader own(*variables, "chat_template_kwargs.", error);
    wish.ReadSwitch(own, "enable_thinking", "chat_template_kwargs.enable_thinking");
    for (const auto& [name, value] : variables->items()) {
      if (name != "enable_thinking" && !value.is_null())
        return fields.Unsupported("chat_template_kwargs", "only enable_thinking is read");
    }
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
  ReadReasoning(fields, error, request);
  RefuseUnsupportedFields(fields);
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
