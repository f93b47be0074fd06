#include "worker/advertised_address.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/status.h"
#include "base/net/grpc.h"

namespace quire::worker {
namespace {

bool IsWildcard(const std::string& host) {
  return host == "0.0.0.0" || host == "::" || host == "[::]" || host == "*";
}

// {host, what follows its colon}. An address with several colons and no bracket has no port.
std::pair<std::string, std::string> Split(const std::string& text) {
  const size_t colon = text.rfind(':');
  const bool bare = text.find(':') != colon && text[0] != '[';
  if (colon == std::string::npos || bare || text.back() == ']') return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

}  // namespace

absl::StatusOr<AdvertisedAddress> ChooseAdvertised(const std::string& flag, const std::string& bind_host,
                                                   const std::string& coordinator) {
  if (flag.empty()) {
    if (!IsWildcard(bind_host)) return AdvertisedAddress{HostInAddress(bind_host), 0};
    if (coordinator.empty() || IsLoopbackHost(Split(coordinator).first))
      return AdvertisedAddress{"127.0.0.1", 0};
    return absl::InvalidArgumentError(
        absl::StrCat("--host ", bind_host,
                     " is no address that gateways on other machines could reach: give "
                     "--advertise HOST[:PORT], or a --host of this machine"));
  }
  AdvertisedAddress address;
  const auto [host, port] = Split(flag);
  address.host = HostInAddress(host);
  const bool port_ok =
      port.empty() ? flag.back() != ':'
                   : absl::SimpleAtoi(port, &address.port) && address.port >= 1 && address.port <= 65535;
  if (host.empty() || IsWildcard(host) || !port_ok) {
    return absl::InvalidArgumentError(
        absl::StrCat("--advertise \"", flag,
                     "\": give HOST or HOST:PORT, a name or address by which gateways reach this "
                     "worker (an IPv6 address with a port in brackets)"));
  }
  return address;
}

std::string HostBeside(const std::string& bind_host, const AdvertisedAddress& advertised) {
  return IsWildcard(bind_host) ? advertised.host : HostInAddress(bind_host);
}

}  // namespace quire::worker
