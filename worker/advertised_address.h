// By which address others reach a worker group: what --advertise says, else the address that it binds, unless
// that is a wildcard, which is no address. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace quire::worker {

struct AdvertisedAddress {
  std::string host;  // an IPv6 address in brackets
  int port = 0;      // 0 = the one that is bound
};

// `flag` is HOST, HOST:PORT or empty. InvalidArgument says what to give.
absl::StatusOr<AdvertisedAddress> ChooseAdvertised(const std::string& flag, const std::string& bind_host,
                                                   const std::string& coordinator);

// By which host others reach what the same process binds beside it, such as its metrics port.
std::string HostBeside(const std::string& bind_host, const AdvertisedAddress& advertised);

}  // namespace quire::worker
