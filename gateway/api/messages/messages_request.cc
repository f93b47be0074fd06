#include "gateway/api/messages/messages_request.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/messages/declared_body.h"
#include "gateway/api/messages/messages_tools.h"
#include "gateway/api/messages/messages_turns.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

void ReadBudget(FieldReader& thinking, MessagesRequest& request) {
  const auto budget = thinking.Integer(kBudget);
  if (!budget) return thinking.Fail(kBudget, "say how many tokens thinking may take");
  if (request.sampling.max_tokens && *budget >= *request.sampling.max_tokens) {
    thinking.Fail(kBudget, "give less than max_tokens");
  }
  request.sampling.think_budget = static_cast<uint32_t>(*budget);
}

void ReadThinking(FieldReader& fields, MessagesRequest& request) {
  std::optional<FieldReader> own = fields.Object(kThinking);
  if (!own) return;
  const std::string type = own->Choice(kThinkingType).value_or("");
  if (type == "enabled") {
    request.prompt.reasons = true;
    ReadBudget(*own, request);
  } else if (type == "disabled") {
    request.prompt.reasons = false;
  }
  request.omits_thinking = own->Choice(kDisplay) == "omitted";
}

// Of a format of text there is one only.
void ReadFormat(FieldReader& fields, const ObjectField& field, TextFormat& format) {
  std::optional<FieldReader> own = fields.Object(field);
  if (!own) return;
  if (format.kind != TextFormat::Kind::kText) return fields.Fail(field, "give it or output_format, not both");
  own->Choice(kOutputType);
  ReadSchemaField(*own, format);
}

void ReadOutputConfig(FieldReader& fields, TextFormat& format) {
  // What Anthropic's API called it before.
  ReadFormat(fields, kOutputFormat, format);
  std::optional<FieldReader> own = fields.Object(kOutputConfig);
  if (!own) return;
  own->Choice(kOutputEffort);
  ReadFormat(*own, kFormat, format);
}

// Edits of what the client sent. Thinking is no part of a prompt anyway.
void CheckContextManagement(FieldReader& fields) {
  std::optional<FieldReader> own = fields.Object(kContextManagement);
  if (!own) return;
  const json* edits = own->FindFilled(kEdits);
  if (edits == nullptr) return;
  if (!edits->is_array()) return own->Fail(kEdits, "give a list");
  for (size_t i = 0; i < edits->size(); ++i) {
    const auto type = (*edits)[i].is_object() ? (*edits)[i].value("type", json()) : json();
    const bool is_neutral =
        type.is_string() && absl::StartsWith(type.get_ref<const std::string&>(), "clear_thinking_");
    if (!is_neutral) {
      return own->FailAt(absl::StrCat("edits.", i, ".type"),
                         "this server edits no conversation: leave it out, but for clear_thinking");
    }
  }
}

// Fields that change nothing in the answer: their types are checked, their values are not used.
void CheckWhatChangesNothing(FieldReader& fields) {
  for (const StringField& label : kMessagesLabels) fields.String(label);
  if (std::optional<FieldReader> own = fields.Object(kUserMetadata)) own->String(kUserId);
}

}  // namespace

ApiResult<MessagesRequest> ParseMessagesRequest(std::string_view body, MessagesUse use) {
  const ApiResult<json> root = ReadBodyObject(body);
  if (const auto* refusal = std::get_if<http::ApiError>(&root)) return *refusal;
  std::optional<http::ApiError> error;
  const bool counts = use == MessagesUse::kCount;
  FieldReader fields(std::get<json>(root), counts ? kCountShape : kMessagesShape, error);
  MessagesRequest request;
  std::string model = ReadModelName(fields);
  request.tells_cached = fields.Find(kCacheControl) != nullptr;
  request.prompt.turns = ReadMessagesTurns(fields, request.tells_cached);
  request.prompt.separate_reasoning = true;
  request.sampling = ReadSamplingFields(fields, {counts ? &kMaxTokens : &kRequiredMaxTokens});
  request.sampling.model = std::move(model);
  ReadStops(fields, kStopSequences, request.sampling);
  if (!counts && !request.sampling.max_tokens) {
    fields.Fail(kRequiredMaxTokens, "say how many tokens the answer may have");
  }
  request.stream = fields.Bool(kStream).value_or(false);
  request.prompt.tools = ReadMessagesTools(fields, request.tells_cached);
  ReadThinking(fields, request);
  ReadOutputConfig(fields, request.sampling.format);
  CheckContextManagement(fields);
  for (const RefusedField& field : kNotServed) fields.Refuse(field);
  CheckWhatChangesNothing(fields);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
