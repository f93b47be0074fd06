#include "base/http/cors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace quire::http {
namespace {

constexpr const char* kExposed = "x-request-id, request-id, retry-after";
constexpr const char* kMaxAgeS = "7200";  // browsers cap it there or above
constexpr size_t kMaxAskedBytes = 1024;

// scheme://host[:port], as browsers write it: lower case, no path.
bool IsOrigin(const std::string& text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string::npos || scheme == 0) return false;
  const std::string host = text.substr(scheme + 3);
  return !host.empty() &&
         std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(scheme),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-'; }) &&
         std::all_of(host.begin(), host.end(), [](unsigned char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                  std::string_view(".-_:[]").find(static_cast<char>(c)) != std::string_view::npos;
         });
}

// Header names with commas between them.
bool IsNameList(const std::string& text) {
  return text.size() <= kMaxAskedBytes && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) ||
                  std::string_view("-_, ").find(static_cast<char>(c)) != std::string_view::npos;
         });
}

}  // namespace

absl::StatusOr<CorsPolicy> CorsPolicy::Parse(std::string_view text) {
  CorsPolicy policy;
  policy.any_ = text == "*";
  if (policy.any_ || text == "none") return policy;
  for (absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    std::string origin(absl::StripAsciiWhitespace(part));
    if (!IsOrigin(origin)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--cors-origin: '", origin,
          "' is no origin: give *, none, or a list such as https://a.example,http://localhost:3000"));
    }
    policy.origins_.push_back(std::move(origin));
  }
  return policy;
}

void CorsPolicy::AddTo(Headers& headers, const RequestHead& head) const {
  if (off()) return;
  if (!any_) headers.emplace_back("vary", "Origin");
  const std::string* origin = head.Find("origin");
  const bool listed =
      origin != nullptr && std::find(origins_.begin(), origins_.end(), *origin) != origins_.end();
  if (!any_ && !listed) return;
  headers.emplace_back("access-control-allow-origin", any_ ? "*" : *origin);
  headers.emplace_back("access-control-expose-headers", kExposed);
}

bool CorsPolicy::IsPreflight(const RequestHead& head) const {
  return !off() && head.method == "OPTIONS" && head.Find("origin") != nullptr &&
         head.Find("access-control-request-method") != nullptr;
}

Headers CorsPolicy::PreflightHeaders(const RequestHead& head, const std::string& allow) const {
  Headers headers{{"access-control-allow-methods", allow}, {"access-control-max-age", kMaxAgeS}};
  const std::string* asked = head.Find("access-control-request-headers");
  // A star would leave out Authorization: the names are given back.
  if (asked != nullptr && IsNameList(*asked)) headers.emplace_back("access-control-allow-headers", *asked);
  headers.emplace_back("vary", "Access-Control-Request-Headers");
  return headers;
}

}  // namespace quire::http
