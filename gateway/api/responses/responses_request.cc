#include "gateway/api/responses/responses_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/schema_field.h"
#include "gateway/api/responses/responses_echo.h"
#include "gateway/api/responses/responses_turns.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxLabelText = 512, kMaxMetadata = 16;

// ---- tools ----

Tool ReadFunction(FieldReader& fields, size_t& bytes_left) {
  if (fields.String("type", 64).value_or("") != "function") {
    fields.Unsupported("type", "give tools of the type \"function\", which the client runs");
  }
  Tool tool;
  tool.name = fields.String("name", kMaxLabelText).value_or("");
  if (!IsToolName(tool.name)) fields.Fail("name", kToolNameAdvice);
  json function;
  function["name"] = tool.name;
  const auto description = fields.String("description", kMaxToolDescriptionBytes);
  if (description) function["description"] = *description;
  function["parameters"] = tool.parameters = ReadToolParameters(fields, "parameters", bytes_left);
  tool.declaration["type"] = "function";
  tool.declaration["function"] = std::move(function);
  tool.strict = fields.Bool("strict");
  tool.parameters_field = "parameters";
  return tool;
}

void ReadFunctionChoice(FieldReader& fields, std::optional<http::ApiError>& error, ToolRules& rules) {
  const json* choice = fields.Find("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") {
    rules.use = ToolUse::kNone;
    return;
  }
  if (*choice != "required" && !choice->is_object()) {
    return fields.Fail("tool_choice", "give \"none\", \"auto\", \"required\" or a named function");
  }
  if (rules.tools.empty()) return fields.Fail("tool_choice", "there are no tools to choose from");
  rules.use = ToolUse::kRequired;
  if (!choice->is_object()) return;
  FieldReader own(*choice, "tool_choice.", error);
  if (own.String("type", 64).value_or("") != "function")
    own.Unsupported("type", "give \"function\" and a name");
  rules.only = own.String("name", kMaxLabelText).value_or("");
  const auto is_it = [&](const Tool& tool) { return tool.name == rules.only; };
  if (std::none_of(rules.tools.begin(), rules.tools.end(), is_it)) own.Fail("name", "no tool has this name");
}

// ---- the rest ----

void ReadReasoningField(FieldReader& fields, std::optional<http::ApiError>& error,
                        ResponsesRequest& request) {
  const json* reasoning = fields.Object("reasoning");
  if (reasoning == nullptr) return;
  FieldReader own(*reasoning, "reasoning.", error);
  if (const auto effort = ReadEffort(own, "effort")) {
    request.prompt.reasons = effort->reasons;
    request.sampling.think_budget = effort->budget;
  }
  for (const char* name : {"summary", "generate_summary"}) own.String(name, kMaxLabelText);
}

void ReadTextFormat(FieldReader& fields, std::optional<http::ApiError>& error, TextFormat& format) {
  const json* given = fields.Object("format");
  if (given == nullptr || given->empty()) return;
  const std::string path = "text.format.";
  FieldReader own(*given, path, error);
  const std::string type = own.String("type", 64).value_or("");
  format.param = "text.format";
  if (type == "json_object") {
    format.kind = TextFormat::Kind::kJsonObject;
  } else if (type == "json_schema") {
    ReadNamedSchema(own, path, format);
  } else if (type != "text") {
    own.Fail("type", "give text, json_object or json_schema");
  }
}

void ReadText(FieldReader& fields, std::optional<http::ApiError>& error, SamplingRequest& sampling) {
  const json* text = fields.Object("text");
  if (text == nullptr) return;
  FieldReader own(*text, "text.", error);
  if (own.String("verbosity", kMaxLabelText).value_or("medium") != "medium") {
    own.Unsupported("verbosity", "leave it out");
  }
  ReadTextFormat(own, error, sampling.format);
}

void ReadInclude(FieldReader& fields, SamplingRequest& sampling) {
  const json* include = fields.Find("include");
  if (include != nullptr && !include->is_array()) return fields.Fail("include", "give a list");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    if ((*include)[i] == "message.output_text.logprobs") sampling.logprobs = true;
  }
  const auto top = fields.Integer("top_logprobs", 0, 20);
  if (top.value_or(0) > 0) sampling.logprobs = true;
  sampling.top_logprobs = static_cast<uint32_t>(top.value_or(0));
}

// What only a server with a state could do.
void RefuseState(FieldReader& fields) {
  for (const char* name : {"previous_response_id", "conversation", "prompt", "context_management"}) {
    if (fields.FindFilled(name) != nullptr) {
      fields.Unsupported(name, "this server keeps no responses: give the whole conversation as input");
    }
  }
  if (fields.Bool("background").value_or(false)) fields.Unsupported("background", "leave it out");
  if (fields.String("truncation", 64).value_or("disabled") != "disabled") {
    fields.Unsupported("truncation", "leave it out or give \"disabled\"");
  }
}

void CheckMetadata(FieldReader& fields) {
  const json* metadata = fields.Object("metadata");
  if (metadata == nullptr) return;
  bool is_short = metadata->size() <= kMaxMetadata;
  for (const auto& [name, value] : metadata->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    is_short &= name.size() <= kMaxLabelText && text != nullptr && text->size() <= kMaxLabelText;
  }
  if (is_short) return;
  fields.Fail("metadata", absl::StrCat("give at most ", kMaxMetadata, " strings of ", kMaxLabelText,
                                       " bytes, by names that aren't longer"));
}

void CheckNeutral(FieldReader& fields) {
  for (const char* name :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}) {
    fields.String(name, kMaxLabelText);
  }
  fields.Bool("store");
  CheckMetadata(fields);
}

}  // namespace

ApiResult<ResponsesRequest> ParseResponsesRequest(std::string_view body) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* refusal = std::get_if<http::ApiError>(&root)) return *refusal;
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), "", error);
  ResponsesRequest request;
  std::string model = ReadModelName(fields);
  request.prompt.turns = ReadResponsesTurns(fields, error);
  request.prompt.separate_reasoning = true;
  request.prompt.param = "input";
  request.prompt.turns_are_its_entries = false;
  request.sampling = ReadSamplingFields(fields, {"max_output_tokens"});
  request.sampling.model = std::move(model);
  request.stream = fields.Bool("stream").value_or(false);
  ReadInclude(fields, request.sampling);
  ReadEachTool(fields, error, "give an object with type and name", ReadFunction, request.prompt.tools);
  ReadFunctionChoice(fields, error, request.prompt.tools);
  request.prompt.tools.parallel = fields.Bool("parallel_tool_calls").value_or(true);
  ReadReasoningField(fields, error, request);
  ReadText(fields, error, request.sampling);
  RefuseState(fields);
  CheckNeutral(fields);
  if (error) return *std::move(error);
  request.echo = ResponsesEcho(std::get<json>(root), request);
  return request;
}

}  // namespace quire::gateway
