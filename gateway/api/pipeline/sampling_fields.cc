#include "gateway/api/pipeline/sampling_fields.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "gateway/api/pipeline/token_ids_field.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxLogitBiases = 1024;  // as its declaration says
constexpr const char* kNoneAsked =
    "give at least 1: a prompt alone is counted by /v1/tokenize, and scored by /v1/completions with \"echo\"";

void ReadNumbers(FieldReader& fields, SamplingRequest& request) {
  request.temperature = fields.Number(kTemperature);
  request.top_p = fields.Number(kTopP);
  request.min_p = fields.Number(kMinP);
  request.top_k = fields.Integer(kTopK);
  request.repetition_penalty = fields.Number(kRepetitionPenalty);
  request.presence_penalty = fields.Number(kPresencePenalty);
  request.frequency_penalty = fields.Number(kFrequencyPenalty);
}

void ReadLengths(FieldReader& fields, std::initializer_list<const IntegerField*> max_tokens_fields,
                 SamplingRequest& request) {
  const char* said_by = nullptr;
  request.max_tokens_param = (*max_tokens_fields.begin())->name;
  for (const IntegerField* field : max_tokens_fields) {
    const json* given = fields.Find(*field);
    if (given != nullptr && field->min > 0 && *given == 0) fields.Fail(*field, kNoneAsked);
    const auto max_tokens = fields.Integer(*field);
    if (!max_tokens) continue;
    if (request.max_tokens && *max_tokens != *request.max_tokens) {
      fields.Fail(*field, absl::StrCat("it says something else than ", said_by, ": give one of the two"));
    }
    said_by = field->name;
    request.max_tokens = max_tokens;
  }
  request.min_tokens = fields.Integer(kMinTokens).value_or(0);
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    fields.Fail(kMinTokens, "give at most max_tokens");
  }
}

void ReadSeed(FieldReader& fields, SamplingRequest& request) {
  const json* seed = fields.Find(kSeed);
  if (seed == nullptr) return;
  const json number = AsInteger(*seed);
  if (!number.is_number_integer()) return fields.Fail(kSeed, "give an integer from -2^63 to 2^64-1");
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

void ReadLogitBias(FieldReader& fields, SamplingRequest& request) {
  const json* biases = fields.Find(kLogitBias);
  if (biases == nullptr) return;
  if (!biases->is_object() || biases->size() > kMaxLogitBiases) {
    return fields.Fail(kLogitBias, absl::StrCat("give an object of at most ", kMaxLogitBiases, " token ids"));
  }
  for (const auto& [key, bias] : biases->items()) {
    const auto id = TokenIdFromKey(key);
    if (!id) return fields.Fail(kLogitBias, "every key is a token id, as \"151645\"");
    const double value = bias.is_number() ? bias.get<double>() : 1e9;
    if (!(value >= -100 && value <= 100)) {
      return fields.FailAt(absl::StrCat("logit_bias.", *id), "give a number from -100 to 100");
    }
    request.logit_bias[*id] = value;
  }
}

}  // namespace

std::string ReadModelName(FieldReader& fields) {
  std::string name = fields.String(kModel).value_or("");
  if (name.empty()) fields.Fail(kModel, "name the model, as GET /v1/models lists them");
  return name;
}

SamplingRequest ReadSamplingFields(FieldReader& fields,
                                   std::initializer_list<const IntegerField*> max_tokens_fields) {
  SamplingRequest request;
  ReadNumbers(fields, request);
  ReadLengths(fields, max_tokens_fields, request);
  ReadStops(fields, kStop, request);
  ReadSeed(fields, request);
  ReadLogitBias(fields, request);
  request.stop_token_ids = ReadTokenIds(fields, kStopTokenIds);
  request.ignore_eos = fields.Bool(kIgnoreEos).value_or(false);
  request.loop_guard = fields.Bool(kLoopGuard).value_or(false);
  return request;
}

void ReadStops(FieldReader& fields, const StopsField& field, SamplingRequest& request) {
  const json* stop = fields.Find(field);
  if (stop == nullptr) return;
  const bool is_list = stop->is_array();
  const size_t count = is_list ? stop->size() : 1;
  if (request.stop.size() + count > field.max_items) {
    return fields.Fail(field, absl::StrCat("give at most ", field.max_items, " strings"));
  }
  for (size_t i = 0; i < count; ++i) {
    const auto* text = (is_list ? (*stop)[i] : *stop).get_ptr<const std::string*>();
    if (text == nullptr || text->empty() || text->size() > field.max_bytes) {
      return fields.FailAt(is_list ? absl::StrCat(field.name, ".", i) : field.name,
                           absl::StrCat("give a string of 1 to ", field.max_bytes, " bytes"));
    }
    request.stop.push_back(*text);
  }
}

std::optional<ReasoningEffort> ReadEffort(FieldReader& fields, const ChoiceField& field) {
  constexpr std::pair<std::string_view, ReasoningEffort> kEfforts[] = {
      {"none", {.reasons = false, .budget = {}}},
      {"minimal", {.reasons = true, .budget = 512}},
      {"low", {.reasons = true, .budget = 2048}},
      {"medium", {.reasons = true, .budget = 8192}}};
  const std::optional<std::string> word = fields.Choice(field);
  if (!word) return std::nullopt;
  for (const auto& [effort, means] : kEfforts) {
    if (*word == effort) return means;
  }
  return ReasoningEffort();
}

std::string OutsideVocabulary(const std::string& param, int32_t id, int64_t vocabulary_size) {
  return absl::StrCat(param, ": token id ", id, " is not in this model's vocabulary of ", vocabulary_size);
}

std::optional<http::ApiError> CheckTokenIds(const SamplingRequest& request, int64_t vocabulary_size) {
  auto refuse = [&](const std::string& param, int32_t id) {
    return InvalidField(param, OutsideVocabulary(param, id, vocabulary_size));
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
