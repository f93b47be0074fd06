#include "base/core/json_file.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace quire {

int JsonDepth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

const nlohmann::json& JsonMember(const nlohmann::json& object, std::string_view key) {
  static const nlohmann::json null;
  if (!object.is_object()) return null;
  const auto found = object.find(std::string(key));
  return found == object.end() ? null : *found;
}

std::string JsonString(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

nlohmann::json ParseJsonText(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return nlohmann::json(nlohmann::json::value_t::discarded);
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::StatusOr<nlohmann::json> ParseJsonFile(std::string_view text, std::string_view file_name) {
  const std::string name(file_name);
  if (text.size() > kMaxJsonFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", text.size(), " bytes; at most ", kMaxJsonFileBytes, " are read"));
  }
  if (JsonDepth(text) > kMaxJsonFileDepth) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is nested deeper than ", kMaxJsonFileDepth));
  }
  nlohmann::json parsed = ParseJsonText(text);
  if (parsed.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(name, " is not valid JSON"));
  return parsed;
}

}  // namespace quire
