#include "gateway/api/messages/messages_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/messages/messages_tools.h"
#include "gateway/api/messages/messages_turns.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxLabel = 512, kMaxUserIdBytes = 4096;
constexpr int64_t kMaxBudget = 1'000'000;

void ReadBudget(FieldReader& thinking, MessagesRequest& request) {
  const auto budget = thinking.Integer("budget_tokens", 1, kMaxBudget);
  if (!budget) return thinking.Fail("budget_tokens", "say how many tokens thinking may take");
  if (request.sampling.max_tokens && *budget >= *request.sampling.max_tokens) {
    thinking.Fail("budget_tokens", "give less than max_tokens");
  }
  request.sampling.think_budget = static_cast<uint32_t>(*budget);
}

void ReadThinking(FieldReader& fields, std::optional<http::ApiError>& error, MessagesRequest& request) {
  const json* thinking = fields.Object("thinking");
  if (thinking == nullptr) return;
  FieldReader own(*thinking, "thinking.", error);
  const std::string type = own.String("type", kMaxLabel).value_or("");
  if (type == "enabled") {
    request.prompt.reasons = true;
    ReadBudget(own, request);
  } else if (type == "disabled") {
    request.prompt.reasons = false;
  } else if (type != "adaptive") {
    own.Fail("type", "give enabled, disabled or adaptive");
  }
  const std::string display = own.String("display", kMaxLabel).value_or("summarized");
  if (display != "summarized" && display != "omitted") own.Fail("display", "give summarized or omitted");
  request.omits_thinking = display == "omitted";
}

// Of a format of text there is one only.
void ReadFormat(FieldReader& fields, const char* name, const std::string& prefix,
                std::optional<http::ApiError>& error, TextFormat& format) {
  const json* given = fields.Object(name);
  if (given == nullptr || given->empty()) return;
  if (format.kind != TextFormat::Kind::kText) return fields.Fail(name, "give it or output_format, not both");
  const std::string path = absl::StrCat(prefix, name, ".");
  FieldReader own(*given, path, error);
  if (own.String("type", kMaxLabel).value_or("") != "json_schema") own.Fail("type", "give json_schema");
  ReadSchemaField(own, path, format);
}

void ReadOutputConfig(FieldReader& fields, std::optional<http::ApiError>& error, TextFormat& format) {
  // What Anthropic's API called it before.
  ReadFormat(fields, "output_format", "", error, format);
  constexpr std::string_view kEfforts[] = {"low", "medium", "high", "xhigh", "max"};
  const json* config = fields.Object("output_config");
  if (config == nullptr) return;
  FieldReader own(*config, "output_config.", error);
  const auto effort = own.String("effort", kMaxLabel);
  if (effort && std::find(std::begin(kEfforts), std::end(kEfforts), *effort) == std::end(kEfforts)) {
    own.Fail("effort", "give low, medium, high, xhigh or max");
  }
  ReadFormat(own, "format", "output_config.", error, format);
}

// Edits of what the client sent. Thinking is no part of a prompt anyway.
void CheckContextManagement(FieldReader& fields, std::optional<http::ApiError>& error) {
  const json* management = fields.Object("context_management");
  if (management == nullptr) return;
  FieldReader own(*management, "context_management.", error);
  const json* edits = own.FindFilled("edits");
  if (edits == nullptr) return;
  if (!edits->is_array()) return own.Fail("edits", "give a list");
  for (size_t i = 0; i < edits->size(); ++i) {
    const auto type = (*edits)[i].is_object() ? (*edits)[i].value("type", json()) : json();
    const bool is_neutral =
        type.is_string() && absl::StartsWith(type.get_ref<const std::string&>(), "clear_thinking_");
    if (!is_neutral) {
      return own.Fail(absl::StrCat("edits.", i, ".type"),
                      "this server edits no conversation: leave it out, but for clear_thinking");
    }
  }
}

void RefuseWhatIsNotServed(FieldReader& fields) {
  for (const char* name : {"container", "mcp_servers", "compaction", "thread"}) {
    if (fields.FindFilled(name) != nullptr) fields.Unsupported(name, "leave it out");
  }
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckWhatChangesNothing(FieldReader& fields, std::optional<http::ApiError>& error) {
  for (const char* name : {"service_tier", "inference_geo", "speed"}) fields.String(name, kMaxLabel);
  const json* metadata = fields.Object("metadata");
  if (metadata == nullptr) return;
  FieldReader own(*metadata, "metadata.", error);
  own.String("user_id", kMaxUserIdBytes);
}

}  // namespace

ApiResult<MessagesRequest> ParseMessagesRequest(std::string_view body, MessagesUse use) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* refusal = std::get_if<http::ApiError>(&root)) return *refusal;
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), "", error);
  MessagesRequest request;
  std::string model = ReadModelName(fields);
  request.tells_cached = fields.Find("cache_control") != nullptr;
  request.prompt.turns = ReadMessagesTurns(fields, error, request.tells_cached);
  request.prompt.separate_reasoning = true;
  request.prompt.turns_are_its_entries = false;
  request.sampling = ReadSamplingFields(fields, {"max_tokens"});
  request.sampling.model = std::move(model);
  ReadStops(fields, "stop_sequences", request.sampling);
  if (use == MessagesUse::kAnswer && !request.sampling.max_tokens) {
    fields.Fail("max_tokens", "say how many tokens the answer may have");
  }
  request.stream = fields.Bool("stream").value_or(false);
  request.prompt.tools = ReadMessagesTools(fields, error, request.tells_cached);
  ReadThinking(fields, error, request);
  ReadOutputConfig(fields, error, request.sampling.format);
  CheckContextManagement(fields, error);
  RefuseWhatIsNotServed(fields);
  CheckWhatChangesNothing(fields, error);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
