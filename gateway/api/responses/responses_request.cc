#include "gateway/api/responses/responses_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/schema_field.h"
#include "gateway/api/responses/declared_responses.h"
#include "gateway/api/responses/responses_echo.h"
#include "gateway/api/responses/responses_turns.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// ---- tools ----

Tool ReadFunction(FieldReader& fields, size_t& bytes_left) {
  fields.Choice(kFunctionType);
  Tool tool;
  tool.name = fields.String(kFunctionName).value_or("");
  if (!IsToolName(tool.name)) fields.Fail(kFunctionName, kToolNameAdvice);
  json function;
  function["name"] = tool.name;
  const auto description = fields.String(kToolDescription);
  if (description) function["description"] = *description;
  function["parameters"] = tool.parameters = ReadToolParameters(fields, kToolParameters, bytes_left);
  tool.declaration["type"] = "function";
  tool.declaration["function"] = std::move(function);
  tool.strict = fields.Bool(kToolStrict);
  tool.parameters_field = "parameters";
  return tool;
}

void ReadNamedFunction(FieldReader& own, ToolRules& rules) {
  own.Choice(kFunctionChoiceType);
  ReadOnlyTool(own, kFunctionChoiceName, rules);
}

// ---- the rest ----

void ReadReasoningField(FieldReader& fields, ResponsesRequest& request) {
  std::optional<FieldReader> own = fields.Object(kResponseReasoning);
  if (!own) return;
  if (const auto effort = ReadEffort(*own, kEffort)) {
    request.prompt.reasons = effort->reasons;
    request.sampling.think_budget = effort->budget;
  }
  for (const StringField& summary : kSummaries) own->String(summary);
}

void ReadTextFormat(FieldReader& fields, TextFormat& format) {
  std::optional<FieldReader> own = fields.Object(kTextFormat);
  if (!own) return;
  const std::string type = own->Choice(kTextFormatType).value_or("");
  format.param = "text.format";
  if (type == "json_object") {
    format.kind = TextFormat::Kind::kJsonObject;
  } else if (type == "json_schema") {
    ReadNamedSchema(*own, format);
  }
}

void ReadText(FieldReader& fields, SamplingRequest& sampling) {
  std::optional<FieldReader> own = fields.Object(kText);
  if (!own) return;
  own->Choice(kVerbosity);
  ReadTextFormat(*own, sampling.format);
}

void ReadInclude(FieldReader& fields, SamplingRequest& sampling) {
  const json* include = fields.Find(kInclude);
  if (include != nullptr && !include->is_array()) return fields.Fail(kInclude, "give a list");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    if ((*include)[i] == "message.output_text.logprobs") sampling.logprobs = true;
  }
  const auto top = fields.Integer(kTopLogprobsAlone);
  if (top.value_or(0) > 0) sampling.logprobs = true;
  sampling.top_logprobs = static_cast<uint32_t>(top.value_or(0));
}

// What only a server with a state could do.
void RefuseState(FieldReader& fields) {
  for (const RefusedField& field : kStates) fields.Refuse(field);
  fields.Bool(kBackground);
  fields.Choice(kTruncation);
}

void CheckMetadata(FieldReader& fields) {
  const json* metadata = fields.Find(kResponseMetadata);
  if (metadata == nullptr) return;
  if (!metadata->is_object()) return fields.Fail(kResponseMetadata, "give an object");
  bool is_short = metadata->size() <= kMaxMetadata;
  for (const auto& [name, value] : metadata->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    is_short &= name.size() <= kMaxLabelBytes && text != nullptr && text->size() <= kMaxLabelBytes;
  }
  if (is_short) return;
  fields.Fail(kResponseMetadata, absl::StrCat("give at most ", kMaxMetadata, " strings of ", kMaxLabelBytes,
                                              " bytes, by names that aren't longer"));
}

void CheckNeutral(FieldReader& fields) {
  for (const StringField& label : kResponseLabels) fields.String(label);
  fields.Bool(kStore);
  CheckMetadata(fields);
}

}  // namespace

ApiResult<ResponsesRequest> ParseResponsesRequest(std::string_view body) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* refusal = std::get_if<http::ApiError>(&root)) return *refusal;
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), kResponsesShape, error);
  ResponsesRequest request;
  std::string model = ReadModelName(fields);
  request.prompt.turns = ReadResponsesTurns(fields);
  request.prompt.separate_reasoning = true;
  request.prompt.param = "input";
  request.sampling = ReadSamplingFields(fields, {&kMaxOutputTokens});
  request.sampling.model = std::move(model);
  request.stream = fields.Bool(kStream).value_or(false);
  ReadInclude(fields, request.sampling);
  ReadEachTool(fields, kFunctions, "name", ReadFunction, request.prompt.tools);
  ReadToolChoice(fields, kFunctionChoice, ReadNamedFunction, request.prompt.tools);
  request.prompt.tools.parallel = fields.Bool(kParallelToolCalls).value_or(true);
  ReadReasoningField(fields, request);
  ReadText(fields, request.sampling);
  RefuseState(fields);
  CheckNeutral(fields);
  if (error) return *std::move(error);
  request.echo = ResponsesEcho(std::get<json>(root), request);
  return request;
}

}  // namespace quire::gateway
