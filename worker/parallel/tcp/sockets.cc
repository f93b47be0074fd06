#include "worker/parallel/tcp/sockets.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/status.h"
#include "base/process/system_error.h"
#include "worker/parallel/shared_word.h"

namespace quire::worker {
namespace {

constexpr int kRetryMs = 200;
constexpr int64_t kOneTryUs = 5'000'000;

struct FreeInfo {
  void operator()(addrinfo* info) const { freeaddrinfo(info); }
};

bool IsWantOfDescriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// Nobody tells when a name or a peer is there. False: the time is over.
bool WaitToRetry(int64_t until_us) {
  const int64_t left_ms = (until_us - MonotonicUs()) / 1000;
  if (left_ms <= 0) return false;
  poll(nullptr, 0, static_cast<int>(std::min<int64_t>(left_ms, kRetryMs)));
  return true;
}

// A connected socket, or why not.
absl::StatusOr<Fd> TryToDial(const SocketAddress& address, int64_t until_us) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return NoDescriptor("can't connect");
  if (connect(fd.get(), address.get(), address.size()) == 0) return fd;
  if (errno != EINPROGRESS) return absl::UnavailableError(std::strerror(errno));
  pollfd polled{fd.get(), POLLOUT, 0};
  const int64_t left_us = std::min(until_us - MonotonicUs(), kOneTryUs);
  if (poll(&polled, 1, static_cast<int>(std::max<int64_t>(1, left_us / 1000))) == 0) {
    return absl::UnavailableError("no answer");
  }
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return absl::UnavailableError(std::strerror(error));
  return fd;
}

absl::StatusOr<Fd> DialOnce(const HostPort& place, int64_t until_us) {
  QUIRE_ASSIGN_OR_RETURN(const auto addresses, Resolve(place));
  absl::Status last = absl::UnavailableError("it has no address");
  for (const SocketAddress& address : addresses) {
    absl::StatusOr<Fd> fd = TryToDial(address, until_us);
    if (fd.ok() || absl::IsResourceExhausted(fd.status())) return fd;
    last = fd.status();
  }
  return last;
}

}  // namespace

absl::Status NoDescriptor(const std::string& what) {
  const int error = errno;
  absl::Status why = SystemError(what, error);
  return IsWantOfDescriptors(error) ? absl::ResourceExhaustedError(why.message()) : why;
}

absl::StatusOr<HostPort> ParseHostPort(const std::string& text, int usual_port) {
  const size_t colon = text.rfind(':');
  const bool bracketed = !text.empty() && text.front() == '[';
  const bool bare_ipv6 = !bracketed && colon != std::string::npos && text.find(':') != colon;
  HostPort place{text, usual_port};
  bool ok = true;
  if (colon != std::string::npos && !bare_ipv6 && text.back() != ']') {
    place.host = text.substr(0, colon);
    ok = absl::SimpleAtoi(text.substr(colon + 1), &place.port) && place.port >= 1 && place.port <= 65535;
  }
  if (bracketed) {
    ok = ok && place.host.size() > 2 && place.host.back() == ']';
    if (ok) place.host = place.host.substr(1, place.host.size() - 2);
  }
  if (ok && !place.host.empty() && place.host.find_first_of("[]") == std::string::npos) return place;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no place: give HOST:PORT of rank 0 (an IPv6 address in brackets)"));
}

SocketAddress::SocketAddress(const sockaddr* address, socklen_t size)
    : size_(std::min<socklen_t>(size, sizeof(storage_))) {
  std::memcpy(&storage_, address, size_);
}

bool SocketAddress::IsLoopback() const {
  if (family() == AF_INET) {
    return (ntohl(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr.s_addr) >> 24) == 127;
  }
  if (family() != AF_INET6) return false;
  const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

int SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
}

SocketAddress SocketAddress::WithPort(int port) const {
  SocketAddress other = *this;
  const auto wire = htons(static_cast<uint16_t>(port));
  if (family() == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&other.storage_)->sin_port = wire;
  } else {
    reinterpret_cast<sockaddr_in6*>(&other.storage_)->sin6_port = wire;
  }
  return other;
}

std::string SocketAddress::HostText() const {
  char host[NI_MAXHOST] = "?";
  getnameinfo(get(), size_, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return host;
}

std::string SocketAddress::Text() const { return JoinHostPort(HostText(), port()); }

absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& place) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(place.host.c_str(), absl::StrCat(place.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("the host ", place.host, " is not known: ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, FreeInfo> all(found);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    addresses.emplace_back(one->ai_addr, one->ai_addrlen);
  }
  return addresses;
}

SocketAddress LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  return {reinterpret_cast<const sockaddr*>(&storage), size};
}

SocketAddress PeerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  return {reinterpret_cast<const sockaddr*>(&storage), size};
}

absl::StatusOr<Fd> ListenAt(const SocketAddress& address) {
  constexpr int kWaiting = 4 * 64;  // connections of a whole group at once
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return NoDescriptor("can't listen");
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd.get(), address.get(), address.size()) == 0 && listen(fd.get(), kWaiting) == 0) return fd;
  if (errno == EADDRINUSE) return absl::AlreadyExistsError(address.Text());
  if (errno == EADDRNOTAVAIL) return absl::FailedPreconditionError(address.Text());
  return absl::UnavailableError(absl::StrCat("can't listen on ", address.Text(), ": ", std::strerror(errno)));
}

absl::StatusOr<Fd> AcceptFrom(int listener) {
  Fd fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.valid() && IsWantOfDescriptors(errno)) return NoDescriptor("can't take a connection");
  return fd;
}

absl::StatusOr<Fd> Dial(const HostPort& place, int64_t until_us) {
  while (true) {
    absl::StatusOr<Fd> fd = DialOnce(place, until_us);
    if (fd.ok() || absl::IsResourceExhausted(fd.status()) || !WaitToRetry(until_us)) return fd;
  }
}

absl::StatusOr<std::vector<SocketAddress>> ResolveInTime(const HostPort& place, int64_t until_us) {
  while (true) {
    auto addresses = Resolve(place);
    if (addresses.ok() || !WaitToRetry(until_us)) return addresses;
  }
}

}  // namespace quire::worker
