#include "gateway/structured/ebnf.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {
namespace {

const CodePoints& EscapedInJson() {
  static const CodePoints escaped({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  return escaped;
}

}  // namespace

std::string EbnfLiteral(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      literal += '\\';
      literal += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      constexpr char kHex[] = "0123456789ABCDEF";
      absl::StrAppend(&literal, "\\u00", std::string(1, kHex[byte >> 4]), std::string(1, kHex[byte & 0xF]));
    } else {
      literal += c;
    }
  }
  return literal + "\"";
}

std::vector<std::string> EbnfCharacters(const CodePoints& characters, bool in_json_string) {
  if (!in_json_string) return {characters.Class()};
  std::vector<std::string> choices;
  const CodePoints plain = characters.Without(EscapedInJson());
  if (!plain.empty()) choices.push_back(plain.Class());
  const CodePoints escaped = characters.And(EscapedInJson());
  if (escaped == EscapedInJson()) {
    choices.push_back("escape");
    return choices;
  }
  for (const CodePoints::Range& range : escaped.ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      const std::string quoted = nlohmann::json(std::string(1, static_cast<char>(c))).dump();
      choices.push_back(EbnfLiteral(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
  }
  return choices;
}

std::string EbnfTimes(uint64_t min, std::optional<uint64_t> max) {
  if (min == 0 && !max) return "*";
  if (min == 1 && !max) return "+";
  if (min == 0 && max == 1) return "?";
  if (min == 1 && max == 1) return "";
  if (max == min) return absl::StrCat("{", min, "}");
  return absl::StrCat("{", min, ",", max ? absl::StrCat(*max) : std::string(), "}");
}

std::string EbnfAnyOf(const std::vector<std::string>& choices) {
  return choices.empty() ? "\"\"" : absl::StrCat("(", absl::StrJoin(choices, " | "), ")");
}

std::u32string CodePointsOf(std::string_view utf8) {
  std::u32string text;
  for (size_t at = 0; at < utf8.size();) {
    const Character character = CharacterAt(utf8, at);
    text += static_cast<char32_t>(character.code_point);
    at += character.bytes;
  }
  return text;
}

}  // namespace quire::gateway
