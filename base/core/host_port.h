// How a host and a port are written together, in every address that is dialled or shown: an IPv6 address
// stands in brackets, or its last group would be taken for the port; and what is said of one that can't be
// listened on. Pure; any thread.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
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

// An empty host would be every address that this machine has: too much for a variable that is not set.
inline absl::Status CheckListenHost(absl::string_view host) {
  if (!host.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("the host to listen on is empty: give 127.0.0.1, or 0.0.0.0 for all");
}

// `error`: what bind or listen left in errno; 0 where the host could not be looked up.
inline absl::Status CantListen(absl::string_view host, int64_t port, int error, absl::string_view why) {
  const char* advice = "choose another port";
  if (error == 0 || error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
    advice = "give an address of this machine as the host (127.0.0.1; 0.0.0.0 for all)";
  } else if (error == EACCES) {
    advice = "choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE";
  }
  return absl::UnavailableError(
      absl::StrCat("can't listen on ", JoinHostPort(host, port), ": ", why, "; ", advice));
}

}  // namespace quire
