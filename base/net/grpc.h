// gRPC set-up in one place: keepalive, message limits, TLS and bind policy, the same on both ends of every
// internal link. Called by composition roots and rpc/ folders only. Channels and servers are thread-safe once
// made.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quire {

// Files of a component's certificate, its key and the CA that signed its peers'; all empty = plaintext.
struct TlsFiles {
  std::string cert, key, ca;
  bool empty() const { return cert.empty() && key.empty() && ca.empty(); }
};

struct GrpcServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0 = any
  TlsFiles tls;
  bool insecure = false;  // allow plaintext off loopback
  // For anybody's clients: they may ping seldom and answer late (10 s, 20 s), see by reflection what there
  // is, and make the server hold no more than so many bytes; 0 = for our own.
  size_t public_bytes = 0;
};

struct GrpcServer {
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

// What a command line can be told at once: InvalidArgument for files of which some are missing or a host that
// is empty, FailedPrecondition where a non-loopback host has no TLS and `insecure` is off.
absl::Status CheckTls(const TlsFiles& files);
absl::Status CheckListen(const GrpcServerOptions& options);
// The same of talking to `whom` at HOST:PORT, who is shown a secret where there is no TLS.
absl::Status CheckDial(const std::string& whom, const std::string& address, const TlsFiles& tls,
                       bool insecure);

// Starts a server over the services, with the standard health service on. CheckListen's errors; Unavailable
// where the port is taken.
absl::StatusOr<GrpcServer> StartGrpcServer(const GrpcServerOptions& options,
                                           const std::vector<grpc::Service*>& services);

// Metadata that proves what the caller knows, and so who calls where there is no TLS to do it.
struct ShownSecret {
  std::string key, value;
};

// What a gateway shows the coordinator, and what it shows a worker group, which the coordinator told that:
// each made from the pepper, which both have, and says nothing of it or of the other.
inline constexpr const char* kSessionSecretKey = "quire-session-secret";
ShownSecret GatewaySecret(const std::string& pepper);
ShownSecret SessionSecret(const std::string& pepper);

// Keepalive 2 s / 1 s, 16 MiB messages, 5 s to connect, reconnect backoff 100 ms..1 s, one connection of its
// own per call of this function. Every call shows the secret, if its key is not empty.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeGrpcChannel(const std::string& address,
                                                               const TlsFiles& tls,
                                                               const ShownSecret& secret = {});

// Whether only this machine can reach it: plaintext is allowed there.
bool IsLoopbackHost(const std::string& host);

// Both keep code and message.
absl::Status FromGrpc(const grpc::Status& status);
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace quire
