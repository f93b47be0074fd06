#include "base/http/request_head.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace quire::http {

std::vector<std::string> RequestHead::List(std::string_view name) const {
  std::vector<std::string> elements;
  for (const auto& [key, value] : headers) {
    if (key != name) continue;
    for (const auto element : absl::StrSplit(value, ',')) {
      std::string plain = absl::AsciiStrToLower(absl::StripAsciiWhitespace(element));
      if (!plain.empty()) elements.push_back(std::move(plain));
    }
  }
  return elements;
}

bool IsKnownMethod(std::string_view method) {
  constexpr std::string_view kKnown[] = {"GET",    "HEAD",    "POST",    "PUT",  "PATCH",
                                         "DELETE", "OPTIONS", "CONNECT", "TRACE"};
  return std::find(std::begin(kKnown), std::end(kKnown), method) != std::end(kKnown);
}

}  // namespace quire::http
