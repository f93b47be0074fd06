#include "base/http/bearer.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace quire::http {

std::string_view BearerToken(const RequestHead& head) {
  const std::string* header = head.Find("authorization");
  return header == nullptr ? std::string_view() : BearerToken(*header);
}

std::string_view BearerToken(std::string_view value) {
  constexpr std::string_view kBlanks = " \t";
  const size_t scheme_end = std::min(value.find_first_of(kBlanks), value.size());
  if (!absl::EqualsIgnoreCase(absl::string_view(value.data(), scheme_end), "bearer")) return {};
  const size_t token = std::min(value.find_first_not_of(kBlanks, scheme_end), value.size());
  return value.substr(token);
}

}  // namespace quire::http
