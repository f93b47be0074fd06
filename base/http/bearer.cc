#include "base/http/bearer.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace quire::http {

std::string_view BearerToken(const RequestHead& head) {
  constexpr std::string_view kBlanks = " \t";
  const std::string* header = head.Find("authorization");
  if (header == nullptr) return {};
  const std::string_view value = *header;
  const size_t scheme_end = std::min(value.find_first_of(kBlanks), value.size());
  if (!absl::EqualsIgnoreCase(absl::string_view(value.data(), scheme_end), "bearer")) return {};
  const size_t token = std::min(value.find_first_not_of(kBlanks, scheme_end), value.size());
  return value.substr(token);
}

}  // namespace quire::http
