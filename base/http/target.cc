#include "base/http/target.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace quire::http {
namespace {

int HexValue(char digit) {
  return digit <= '9' ? digit - '0' : absl::ascii_tolower(static_cast<unsigned char>(digit)) - 'a' + 10;
}

bool IsEscape(std::string_view text) {
  return text.size() >= 3 && absl::ascii_isxdigit(static_cast<unsigned char>(text[1])) &&
         absl::ascii_isxdigit(static_cast<unsigned char>(text[2]));
}

std::string QueryDecode(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return PercentDecode(spaced).value_or(spaced);
}

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (!IsEscape(text.substr(i))) return std::nullopt;
    decoded += static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2]));
    i += 2;
  }
  return decoded;
}

std::vector<std::pair<std::string, std::string>> ParseQuery(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(pair.size(), equals + 1));
    if (!pair.empty()) query.emplace_back(QueryDecode(pair.substr(0, equals)), QueryDecode(value));
  }
  return query;
}

}  // namespace quire::http
