// An https URL that somebody else gave, read strictly: a host's name and nothing that resolvers, libraries or
// people read in two ways. Refused are users and passwords, addresses in every spelling, names that end in a
// dot or in a number, letters beyond ASCII (punycode is taken), fragments, backslashes and control bytes.
// Pure and fuzzed (tests/fuzz/https_url_fuzz.cc); any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire::http {

inline constexpr size_t kMaxUrlBytes = 2048;
inline constexpr uint16_t kHttpsPort = 443;

struct HttpsUrl {
  std::string host;  // in lower case
  uint16_t port = kHttpsPort;
  std::string target = "/";  // path and query

  bool operator==(const HttpsUrl&) const = default;
};

// InvalidArgument says what is wrong, without quoting it.
absl::StatusOr<HttpsUrl> ParseHttpsUrl(std::string_view text);

// HOST or HOST:PORT, by the same rules; without a port that of https.
struct HostAndPort {
  std::string host;
  uint16_t port = kHttpsPort;

  bool operator==(const HostAndPort&) const = default;
};
absl::StatusOr<HostAndPort> ParseHostAndPort(std::string_view text);

}  // namespace quire::http
