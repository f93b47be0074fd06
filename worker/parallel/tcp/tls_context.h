// The TLS of a group's links: its certificate, key and the CA of its peers, of one TLS 1.3 for both ends. A
// peer must be a worker: a certificate of that CA whose DNS name, or common name, is quire-worker or begins
// with that and a dot (docs/OPERATIONS.md, Certificates); addresses are not looked at, since ranks move.
// Shared by all links of a rank, read only.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quire::worker {

// All empty: links in the clear.
struct LinkTlsFiles {
  std::string cert, key, ca;
  bool empty() const { return cert.empty() && key.empty() && ca.empty(); }
};

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

class TlsContext {
 public:
  // From here on this process ignores SIGPIPE: OpenSSL writes to sockets that may be closed.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Load(const LinkTlsFiles& files);
  // A connection over a socket, before its handshake.
  absl::StatusOr<std::unique_ptr<SSL, SslFree>> Open(int fd) const;

 private:
  explicit TlsContext(std::unique_ptr<SSL_CTX, SslFree> context) : context_(std::move(context)) {}
  const std::unique_ptr<SSL_CTX, SslFree> context_;
};

// After the handshake. PermissionDenied: its certificate is no worker's.
absl::Status CheckPeerIsWorker(const SSL& ssl);

// What OpenSSL says of its last error on this thread, which is then forgotten.
std::string LastTlsError();

}  // namespace quire::worker
