// How ranks reach each other: addresses, a socket that listens, and dialling until somebody answers. Plain
// functions of the thread that starts the rank.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/fd.h"

namespace quire::worker {

// What errno says of a call that got no descriptor, or no memory for one: ResourceExhausted, with what to do;
// of anything else Unavailable.
absl::Status NoDescriptor(const std::string& what);

struct HostPort {
  std::string host;
  int port = 0;
};
// "HOST:PORT", an IPv6 address in brackets; without a port, `usual_port`. InvalidArgument says what to give.
absl::StatusOr<HostPort> ParseHostPort(const std::string& text, int usual_port);

class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t size);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  bool IsLoopback() const;
  int port() const;
  SocketAddress WithPort(int port) const;
  // Without the port, an IPv6 one without brackets.
  std::string HostText() const;
  std::string Text() const;

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

// Unavailable: the name is not known (now).
absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& place);
// The same; tries again until `until_us`, since a pod's name may be known later than the pod runs.
absl::StatusOr<std::vector<SocketAddress>> ResolveInTime(const HostPort& place, int64_t until_us);
SocketAddress LocalAddress(int fd);
SocketAddress PeerAddress(int fd);

// Non-blocking. AlreadyExists: somebody listens there; FailedPrecondition: it is no address of this host.
absl::StatusOr<Fd> ListenAt(const SocketAddress& address);
// Both are ResourceExhausted, with what to do, where this process may open no more: waiting doesn't help.
// The next connection, or an empty one: there is none now.
absl::StatusOr<Fd> AcceptFrom(int listener);
// A non-blocking connected socket; tries again until `until_us`.
absl::StatusOr<Fd> Dial(const HostPort& place, int64_t until_us);

}  // namespace quire::worker
