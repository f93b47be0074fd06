#include "base/http/https_url.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"

namespace quire::http {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr size_t kMaxName = 253, kMaxLabel = 63;

absl::Status WrongUrl(const char* why) { return absl::InvalidArgumentError(why); }

bool IsNameByte(unsigned char c) { return absl::ascii_isalnum(c) || c == '-'; }

bool IsLabel(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), IsNameByte);
}

absl::StatusOr<std::string> ReadHost(std::string_view text) {
  if (text.empty() || text.size() > kMaxName) return WrongUrl("give a host's name of at most 253 bytes");
  const std::string host = absl::AsciiStrToLower(Absl(text));
  const std::vector<std::string> labels = absl::StrSplit(host, '.');
  if (!std::all_of(labels.begin(), labels.end(), IsLabel)) {
    return WrongUrl(
        "the host is no name of letters, digits, hyphens and dots (others as punycode; no address, no dot at "
        "the end)");
  }
  // Where the last one is a number, as 1 or 0x7f, resolvers take all of it for an address.
  if (!absl::ascii_isalpha(static_cast<unsigned char>(labels.back().front()))) {
    return WrongUrl("give a host's name that ends in a word: addresses are not taken");
  }
  return host;
}

absl::StatusOr<uint16_t> ReadPort(std::string_view text) {
  const bool digits = std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
  if (text.empty() || text.size() > 5 || !digits || text.front() == '0') {
    return WrongUrl("the port is no number from 1 to 65535");
  }
  const int port = std::stoi(std::string(text));
  if (port > UINT16_MAX) return WrongUrl("the port is no number from 1 to 65535");
  return static_cast<uint16_t>(port);
}

bool IsTargetByte(unsigned char c) {
  constexpr std::string_view kNever = "\"<>\\^`{|}#";
  return c > 0x20 && c < 0x7F && kNever.find(static_cast<char>(c)) == std::string_view::npos;
}

absl::Status CheckUrlTarget(std::string_view target) {
  for (size_t i = 0; i < target.size(); ++i) {
    if (!IsTargetByte(static_cast<unsigned char>(target[i]))) {
      return WrongUrl("path and query hold a byte that has to be percent-encoded, or a fragment");
    }
    if (target[i] != '%') continue;
    const bool coded = i + 2 < target.size() &&
                       absl::ascii_isxdigit(static_cast<unsigned char>(target[i + 1])) &&
                       absl::ascii_isxdigit(static_cast<unsigned char>(target[i + 2]));
    if (!coded) return WrongUrl("a percent sign is not followed by two hexadecimal digits");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostAndPort> ParseHostAndPort(std::string_view text) {
  const size_t colon = text.find(':');
  HostAndPort result;
  QUIRE_ASSIGN_OR_RETURN(result.host, ReadHost(text.substr(0, colon)));
  if (colon == std::string_view::npos) return result;
  QUIRE_ASSIGN_OR_RETURN(result.port, ReadPort(text.substr(colon + 1)));
  return result;
}

absl::StatusOr<HttpsUrl> ParseHttpsUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return WrongUrl("give at most 2048 bytes");
  if (!absl::StartsWithIgnoreCase(Absl(text), Absl(kScheme)))
    return WrongUrl("give a URL that begins with https://");
  text.remove_prefix(kScheme.size());
  const size_t end = std::min(text.find_first_of("/?"), text.size());
  const std::string_view authority = text.substr(0, end), rest = text.substr(end);
  if (authority.find('@') != std::string_view::npos) return WrongUrl("leave user and password out");
  QUIRE_ASSIGN_OR_RETURN(HostAndPort place, ParseHostAndPort(authority));
  QUIRE_RETURN_IF_ERROR(CheckUrlTarget(rest));
  HttpsUrl url{.host = std::move(place.host), .port = place.port, .target = std::string(rest)};
  if (url.target.empty() || url.target.front() == '?') url.target.insert(0, "/");
  return url;
}

}  // namespace quire::http
