// A connection between two ranks: a non-blocking TCP socket that sends at once (TCP_NODELAY), with TLS over
// it where the group has certificates. Own sockets and not Gloo or Asio: sums must be in rank order to the
// bit, which Gloo's algorithms don't promise; the engine thread moves bytes to and from all peers at once,
// straight between tensors and the kernel, and spins where cores are free; and TLS is what the rest of Quire
// has. A value; one thread at a time uses it, but for acks().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/core/fd.h"
#include "worker/parallel/rank_watch.h"
#include "worker/parallel/tcp/row_bytes.h"
#include "worker/parallel/tcp/tls_context.h"

namespace quire::worker {

class Link {
 public:
  Link() = default;
  // A connected socket. `peer` is who is there, for messages.
  Link(Fd socket, std::string peer);

  // Begins TLS; Handshake goes on with it. As a server, if this end was dialled.
  absl::Status StartTls(const TlsContext& context, bool server);
  // True once done; false: poll for wants() and call it again.
  absl::StatusOr<bool> Handshake();

  // As much as goes at once; 0: nothing now. Unavailable: the connection ended, and why.
  absl::StatusOr<size_t> Write(const OutBytes& bytes);
  absl::StatusOr<size_t> Read(const InBytes& bytes);

  bool open() const { return socket_.valid(); }
  int fd() const { return socket_.get(); }
  // Poll's events for which the last call that moved nothing waits.
  short read_wants() const { return read_wants_; }
  short write_wants() const { return write_wants_; }
  const std::string& peer() const { return peer_; }
  void set_peer(std::string peer) { peer_ = std::move(peer); }
  // Any thread, as long as nobody closes it.
  AckState acks() const;
  void Close();

 private:
  absl::Status Ended(const std::string& why) const;
  absl::StatusOr<size_t> WriteTls(const OutBytes& bytes);
  // Of an SSL call that returned `result`: nothing moved, or an error.
  absl::StatusOr<size_t> TlsResult(int result, short& wants);

  Fd socket_;
  std::unique_ptr<SSL, SslFree> ssl_;  // after the socket: it goes first
  std::string peer_;
  short read_wants_ = 0, write_wants_ = 0;
};

}  // namespace quire::worker
