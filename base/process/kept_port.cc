#include "base/process/kept_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/status.h"

namespace quire {
namespace {

int PortOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

absl::StatusOr<KeptPort> KeptPort::Keep(const std::string& host, int port) {
  QUIRE_RETURN_IF_ERROR(CheckListenHost(host));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return CantListen(host, port, 0, gai_strerror(error));
  KeptPort kept;
  kept.socket_ = Fd(socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const bool bound = kept.socket_.valid() &&
                     setsockopt(kept.socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     bind(kept.socket_.get(), found->ai_addr, found->ai_addrlen) == 0 &&
                     getsockname(kept.socket_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0;
  const int why = errno;
  freeaddrinfo(found);
  if (!bound) return CantListen(host, port, why, std::strerror(why));
  kept.port_ = PortOf(address);
  return kept;
}

}  // namespace quire
