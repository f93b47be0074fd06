#include "gateway/text/config_files.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

constexpr char kTokenizerConfig[] = "tokenizer_config.json";

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

}  // namespace

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
