#include "gateway/text/config_files.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_file.h"
#include "base/core/status.h"
#include "base/core/tokenizer_file.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

constexpr char kTokenizerConfig[] = "tokenizer_config.json";
constexpr size_t kMaxEosIds = 64;

absl::Status FieldError(const char* file, std::string_view field, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", std::string(field), ": ", std::string(problem)));
}

// A special token is written as its literal, or as an object with the literal as "content".
absl::StatusOr<std::optional<std::string>> ReadLiteral(const json& config, const char* name) {
  const json& value = JsonMember(config, name);
  if (value.is_null()) return std::nullopt;
  const json& literal = value.is_object() ? JsonMember(value, "content") : value;
  if (!literal.is_string()) return FieldError(kTokenizerConfig, name, "must be a string or have a content");
  return JsonString(literal);
}

absl::Status ReadTemplates(const json& config, TokenizerConfig& out) {
  const json& value = JsonMember(config, "chat_template");
  if (value.is_null()) return absl::OkStatus();
  if (value.is_string()) {
    out.chat_template = JsonString(value);
    return absl::OkStatus();
  }
  if (!value.is_array()) return FieldError(kTokenizerConfig, "chat_template", "must be a string or a list");
  for (const json& entry : value) {
    const std::string name = JsonString(JsonMember(entry, "name"));
    if (name == "default") out.chat_template = JsonString(JsonMember(entry, "template"));
    if (name == "tool_use") out.tool_template = JsonString(JsonMember(entry, "template"));
  }
  return absl::OkStatus();
}

absl::Status ReadEosIds(const json& config, const char* file, std::vector<TokenId>& ids) {
  const json& value = JsonMember(config, "eos_token_id");
  if (value.is_null()) return absl::OkStatus();
  const json list = value.is_array() ? value : json::array({value});
  if (list.size() > kMaxEosIds) return FieldError(file, "eos_token_id", "has too many ids");
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= kMaxVocabulary) {
      return FieldError(file, "eos_token_id", "must be an id or a list of ids");
    }
    ids.push_back(id.get<TokenId>());
  }
  return absl::OkStatus();
}

// Reads a number into `value` if it is there; it must lie in [low, high].
template <typename T>
absl::Status ReadNumber(const json& config, const char* file, const char* name, double low, double high,
                        T& value) {
  const json& number = JsonMember(config, name);
  if (number.is_null()) return absl::OkStatus();
  if (!number.is_number() || number.get<double>() < low || number.get<double>() > high) {
    return FieldError(file, name, absl::StrCat("must be a number from ", low, " to ", high));
  }
  value = number.get<T>();
  return absl::OkStatus();
}

// Newer checkpoints say dtype; a long one, or none that is a name, is nobody's.
std::optional<std::string> ReadDtype(const json& config) {
  constexpr size_t kMaxDtypeBytes = 32;
  for (const char* name : {"dtype", "torch_dtype"}) {
    const std::string dtype = JsonString(JsonMember(config, name));
    if (!dtype.empty() && dtype.size() <= kMaxDtypeBytes) return dtype;
  }
  return std::nullopt;
}

absl::Status ReadDefaults(const json& config, const char* file, GenerationDefaults& out) {
  const json& do_sample = JsonMember(config, "do_sample");
  if (do_sample.is_boolean() && !do_sample.get<bool>()) return absl::OkStatus();
  QUIRE_RETURN_IF_ERROR(ReadNumber(config, file, "temperature", 0, 100, out.temperature));
  QUIRE_RETURN_IF_ERROR(ReadNumber(config, file, "top_k", 0, kMaxVocabulary, out.top_k));
  QUIRE_RETURN_IF_ERROR(ReadNumber(config, file, "top_p", 0, 1, out.top_p));
  QUIRE_RETURN_IF_ERROR(ReadNumber(config, file, "min_p", 0, 1, out.min_p));
  return ReadNumber(config, file, "repetition_penalty", 0.01, 100, out.repetition_penalty);
}

}  // namespace

absl::StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view json_text, const char* file_name) {
  GenerationConfig out;
  if (json_text.empty()) return out;
  QUIRE_ASSIGN_OR_RETURN(const json config, ParseJsonFile(json_text, file_name));
  QUIRE_RETURN_IF_ERROR(ReadEosIds(config, file_name, out.eos_ids));
  QUIRE_RETURN_IF_ERROR(ReadDefaults(config, file_name, out.defaults));
  TokenId vocab_size = 0;
  QUIRE_RETURN_IF_ERROR(ReadNumber(config, file_name, "vocab_size", 1, 1 << 22, vocab_size));
  if (vocab_size > 0) out.vocab_size = vocab_size;
  out.dtype = ReadDtype(config);
  return out;
}

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json_text) {
  TokenizerConfig out;
  if (json_text.empty()) return out;
  QUIRE_ASSIGN_OR_RETURN(const json config, ParseJsonFile(json_text, kTokenizerConfig));
  if (!config.is_object()) return FieldError(kTokenizerConfig, "the whole", "must be an object");
  QUIRE_ASSIGN_OR_RETURN(out.bos_token, ReadLiteral(config, "bos_token"));
  QUIRE_ASSIGN_OR_RETURN(out.eos_token, ReadLiteral(config, "eos_token"));
  QUIRE_RETURN_IF_ERROR(ReadTemplates(config, out));
  return out;
}

}  // namespace quire::gateway
