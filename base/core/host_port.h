// How a host and a port are written together, in every address that is dialled or shown: an IPv6 address
// stands in brackets, or its last group would be taken for the port. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace quire {

// A host as it stands in an address: a bare IPv6 address in brackets, anything else as it is.
inline std::string HostInAddress(absl::string_view host) {
  const bool bare_ipv6 = absl::StrContains(host, ':') && host.front() != '[';
  return bare_ipv6 ? absl::StrCat("[", host, "]") : std::string(host);
}

inline std::string JoinHostPort(absl::string_view host, int64_t port) {
  return absl::StrCat(HostInAddress(host), ":", port);
}

}  // namespace quire
