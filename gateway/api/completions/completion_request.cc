#include "gateway/api/completions/completion_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/response_format.h"
#include "gateway/api/completions/declared_completion.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/door_request.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/token_ids_field.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

Prompt ReadPrompt(FieldReader& fields, const json& prompt, const std::string& path, bool add_special_tokens) {
  if (prompt.is_string()) {
    return TextPrompt{
        .text = prompt.get<std::string>(), .add_special_tokens = add_special_tokens, .param = path};
  }
  if (!prompt.is_array()) {
    fields.FailAt(path, kPromptForms);
    return TextPrompt();
  }
  return IdsPrompt{ReadTokenIds(fields, prompt, path), path};
}

std::vector<Prompt> ReadPrompts(FieldReader& fields) {
  const bool add_special_tokens = fields.Bool(kAddStartToken).value_or(true);
  std::vector<Prompt> prompts;
  const json* field = fields.Find(kPrompt);
  if (field == nullptr) {
    fields.Fail(kPrompt, kPromptForms);
    return prompts;
  }
  const bool is_list = field->is_array() && !field->empty() && !(*field)[0].is_number();
  if (!is_list) {
    prompts.push_back(ReadPrompt(fields, *field, "prompt", add_special_tokens));
    return prompts;
  }
  if (field->size() > kMaxPrompts) {
    fields.Fail(kPrompt, absl::StrCat("give at most ", kMaxPrompts, " prompts"));
    return prompts;
  }
  for (size_t i = 0; i < field->size() && !fields.failed(); ++i) {
    prompts.push_back(ReadPrompt(fields, (*field)[i], absl::StrCat("prompt.", i), add_special_tokens));
  }
  return prompts;
}

void ReadChoiceFields(FieldReader& fields, SamplingRequest& sampling) {
  sampling.choices = static_cast<uint32_t>(fields.Integer(kPromptChoices).value_or(1));
  const auto logprobs = fields.Integer(kLogprobCount);
  sampling.logprobs = logprobs.has_value();
  sampling.top_logprobs = static_cast<uint32_t>(logprobs.value_or(0));
  const auto best_of = fields.Integer(kBestOf);
  if (best_of && *best_of != static_cast<int64_t>(sampling.choices)) {
    fields.Unsupported(kBestOf, "leave it out, or give what n is");
  }
}

void ReadEcho(FieldReader& fields, CompletionRequest& request) {
  request.echo = fields.Bool(kEcho).value_or(false);
  if (!request.echo) {
    if (request.sampling.max_tokens == 0) fields.Fail(kEchoMaxTokens, "give at least 1, or echo the prompt");
    return;
  }
  request.sampling.scores_prompt = request.sampling.logprobs;
  size_t ids = 0;
  for (const Prompt& prompt : request.prompts) {
    if (const auto* of_ids = std::get_if<IdsPrompt>(&prompt)) ids += of_ids->ids.size();
  }
  if (ids > kMaxEchoedIds) {
    fields.Fail(kEcho, absl::StrCat("at most ", kMaxEchoedIds, " token ids of prompts are echoed"));
  }
}

}  // namespace

ApiResult<CompletionRequest> ParseCompletionRequest(std::string_view body) {
  ApiResult<json> root = ReadBodyObject(body);
  if (auto* refused = std::get_if<http::ApiError>(&root)) return std::move(*refused);
  std::optional<http::ApiError> error;
  FieldReader fields(std::get<json>(root), kCompletionShape, error);
  CompletionRequest request;
  std::string model = ReadModelName(fields);
  request.prompts = ReadPrompts(fields);
  request.stream = ReadStreamFields(fields);
  request.sampling = ReadSamplingFields(fields, {&kEchoMaxTokens});
  request.sampling.model = std::move(model);
  request.sampling.format = ReadResponseFormat(fields);
  ReadChoiceFields(fields, request.sampling);
  ReadEcho(fields, request);
  request.tokens_as_ids = fields.Bool(kTokensAsIds).value_or(false);
  for (const StringField& label : kCompletionLabels) fields.String(label);
  fields.Refuse(kNoTools);
  for (const RefusedField& field : kUnsupported) fields.Refuse(field);
  if (error) return *std::move(error);
  return request;
}

}  // namespace quire::gateway
