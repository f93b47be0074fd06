#include "gateway/api/pipeline/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "gateway/api/pipeline/token_ids_field.h"
#include "gateway/text/stop_matcher.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxModelBytes = 256;
constexpr int64_t kMaxMaxTokens = 1'000'000;
constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxStopTokenIds = 64;
constexpr size_t kMaxLogitBiases = 1024;

void ReadNumbers(FieldReader& fields, SamplingRequest& request) {
  request.temperature = fields.Number("temperature", 0, 2);
  request.top_p = fields.Number("top_p", 0, 1);
  request.min_p = fields.Number("min_p", 0, 1);
  request.top_k = fields.Integer("top_k", 0, 999);
  request.repetition_penalty = fields.Number("repetition_penalty", 0.01, 5);
  request.presence_penalty = fields.Number("presence_penalty", -2, 2);
  request.frequency_penalty = fields.Number("frequency_penalty", -2, 2);
}

void ReadLengths(FieldReader& fields, std::initializer_list<const char*> max_tokens_names,
                 SamplingRequest& request) {
  const char* said_by = nullptr;
  request.max_tokens_param = *max_tokens_names.begin();
  for (const char* name : max_tokens_names) {
    const auto max_tokens = fields.Integer(name, 1, kMaxMaxTokens);
    if (!max_tokens) continue;
    if (request.max_tokens && *max_tokens != *request.max_tokens) {
      fields.Fail(name, absl::StrCat("it says something else than ", said_by, ": give one of the two"));
    }
    said_by = name;
    request.max_tokens = max_tokens;
  }
  request.min_tokens = fields.Integer("min_tokens", 0, kMaxMaxTokens).value_or(0);
  if (request.max_tokens && request.min_tokens > *request.max_tokens) {
    fields.Fail("min_tokens", "give at most max_tokens");
  }
}

void ReadSeed(FieldReader& fields, SamplingRequest& request) {
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

void ReadLogitBias(FieldReader& fields, SamplingRequest& request) {
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

void ReadStopTokenIds(FieldReader& fields, SamplingRequest& request) {
  const json* ids = fields.Find("stop_token_ids");
  if (ids == nullptr) return;
  if (!ids->is_array() || ids->size() > kMaxStopTokenIds) {
    return fields.Fail("stop_token_ids",
                       absl::StrCat("give a list of at most ", kMaxStopTokenIds, " token ids"));
  }
  request.stop_token_ids = ReadTokenIds(fields, *ids, "stop_token_ids");
}

}  // namespace

std::string ReadModelName(FieldReader& fields) {
  std::string name = fields.String("model", kMaxModelBytes).value_or("");
  if (name.empty()) fields.Fail("model", "name the model, as GET /v1/models lists them");
  return name;
}

SamplingRequest ReadSamplingFields(FieldReader& fields, std::initializer_list<const char*> max_tokens_names) {
  SamplingRequest request;
  ReadNumbers(fields, request);
  ReadLengths(fields, max_tokens_names, request);
  ReadStops(fields, "stop", request);
  ReadSeed(fields, request);
  ReadLogitBias(fields, request);
  ReadStopTokenIds(fields, request);
  request.ignore_eos = fields.Bool("ignore_eos").value_or(false);
  request.loop_guard = fields.Bool("loop_guard").value_or(false);
  return request;
}

void ReadStops(FieldReader& fields, const char* name, SamplingRequest& request) {
  const json* stop = fields.Find(name);
  if (stop == nullptr) return;
  const bool is_list = stop->is_array();
  const size_t count = is_list ? stop->size() : 1;
  if (request.stop.size() + count > kMaxStops) {
    return fields.Fail(name, absl::StrCat("give at most ", kMaxStops, " strings"));
  }
  for (size_t i = 0; i < count; ++i) {
    const auto* text = (is_list ? (*stop)[i] : *stop).get_ptr<const std::string*>();
    if (text == nullptr || text->empty() || text->size() > kMaxStopBytes) {
      return fields.Fail(is_list ? absl::StrCat(name, ".", i) : name,
                         absl::StrCat("give a string of 1 to ", kMaxStopBytes, " bytes"));
    }
    request.stop.push_back(*text);
  }
}

std::optional<ReasoningEffort> ReadEffort(FieldReader& fields, const char* name) {
  constexpr std::pair<std::string_view, ReasoningEffort> kEfforts[] = {
      {"none", {.reasons = false, .budget = {}}}, {"minimal", {.reasons = true, .budget = 512}},
      {"low", {.reasons = true, .budget = 2048}}, {"medium", {.reasons = true, .budget = 8192}},
      {"high", {.reasons = true, .budget = {}}},  {"xhigh", {.reasons = true, .budget = {}}},
      {"max", {.reasons = true, .budget = {}}}};
  const std::optional<std::string> word = fields.String(name, 64);
  if (!word) return std::nullopt;
  for (const auto& [effort, means] : kEfforts) {
    if (*word == effort) return means;
  }
  fields.Fail(name, "give none, minimal, low, medium, high, xhigh or max");
  return std::nullopt;
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
