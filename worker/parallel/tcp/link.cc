#include "worker/parallel/tcp/link.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

void Set(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof(value)); }

// Rows that one call moves.
constexpr size_t kMostRows = 64;
// Of what TLS sends at once.
constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;

bool IsNotNow(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Link::Link(Fd socket, std::string peer)
    : socket_(std::move(socket)), peer_(std::move(peer)), read_wants_(POLLIN), write_wants_(POLLOUT) {
  constexpr int kIdleSeconds = 30;
  Set(fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  // An idle group's links say something now and then, or a firewall between the hosts forgets them. Whether a
  // peer is there says Liveness: no limit of the kernel's ends a link.
  Set(fd(), SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(fd(), IPPROTO_TCP, TCP_KEEPIDLE, kIdleSeconds);
  Set(fd(), IPPROTO_TCP, TCP_KEEPINTVL, kIdleSeconds);
}

absl::Status Link::Ended(const std::string& why) const {
  return absl::UnavailableError(absl::StrCat("the connection to ", peer_, " ended: ", why));
}

absl::Status Link::StartTls(const TlsContext& context, bool server) {
  QUIRE_ASSIGN_OR_RETURN(ssl_, context.Open(fd()));
  if (server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Link::Handshake() {
  if (ssl_ == nullptr) return true;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    read_wants_ = POLLIN;
    if (absl::Status worker = CheckPeerIsWorker(*ssl_); !worker.ok()) return worker;
    return true;
  }
  QUIRE_RETURN_IF_ERROR(TlsResult(result, read_wants_).status());
  return false;
}

absl::StatusOr<size_t> Link::TlsResult(int result, short& wants) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      wants = POLLIN;
      return size_t{0};
    case SSL_ERROR_WANT_WRITE:
      wants = POLLOUT;
      return size_t{0};
    case SSL_ERROR_ZERO_RETURN:
      return Ended("it was closed");
    case SSL_ERROR_SYSCALL:
      return Ended(errno != 0 ? std::strerror(errno) : "it was closed");
    default:
      return Ended(absl::StrCat("TLS: ", LastTlsError()));
  }
}

absl::StatusOr<size_t> Link::Write(const OutBytes& bytes) {
  if (ssl_ != nullptr) return WriteTls(bytes);
  std::array<iovec, kMostRows> rows;
  msghdr message{};
  message.msg_iov = rows.data();
  message.msg_iovlen = bytes.ToIovecs(rows);
  const ssize_t written = sendmsg(fd(), &message, MSG_NOSIGNAL);
  if (written >= 0) return static_cast<size_t>(written);
  if (IsNotNow(errno)) return size_t{0};
  return Ended(std::strerror(errno));
}

absl::StatusOr<size_t> Link::WriteTls(const OutBytes& bytes) {
  std::span<const uint8_t> run = bytes.front();
  std::array<uint8_t, kRecordBytes> record;
  // What is tried again is the same bytes, though they may stand elsewhere.
  if (run.size() < std::min(bytes.left(), record.size())) run = std::span(record).first(bytes.CopyTo(record));
  ERR_clear_error();
  errno = 0;
  const int written = SSL_write(ssl_.get(), run.data(), static_cast<int>(std::min(run.size(), kRecordBytes)));
  if (written > 0) return static_cast<size_t>(written);
  return TlsResult(written, write_wants_);
}

absl::StatusOr<size_t> Link::Read(const InBytes& bytes) {
  if (ssl_ != nullptr) {
    const std::span<uint8_t> run = bytes.front();
    ERR_clear_error();
    errno = 0;
    const int read =
        SSL_read(ssl_.get(), run.data(), static_cast<int>(std::min<size_t>(run.size(), 1 << 30)));
    if (read > 0) return static_cast<size_t>(read);
    return TlsResult(read, read_wants_);
  }
  std::array<iovec, kMostRows> rows;
  const ssize_t read = readv(fd(), rows.data(), static_cast<int>(bytes.ToIovecs(rows)));
  if (read > 0) return static_cast<size_t>(read);
  if (read == 0) return Ended("it was closed");
  if (IsNotNow(errno)) return size_t{0};
  return Ended(std::strerror(errno));
}

AckState Link::acks() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  int queued = 0;
  if (getsockopt(fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || ioctl(fd(), SIOCOUTQ, &queued) != 0) {
    return {};
  }
  // A process that reads slowly leaves its host no room for more: that is no cut, as long as the host answers
  // when it is asked for room. (Kernels before 5.4 don't tell how much there is.)
  constexpr int kUnanswered = 3;
  const bool tells_room = size >= offsetof(tcp_info, tcpi_snd_wnd) + sizeof(info.tcpi_snd_wnd);
  const auto next = info.tcpi_unacked > 0 ? 1u : std::min(static_cast<uint32_t>(queued), info.tcpi_snd_mss);
  const bool has_room = !tells_room || info.tcpi_snd_wnd >= next;
  return {info.tcpi_bytes_acked, queued > 0 && (has_room || info.tcpi_probes >= kUnanswered)};
}

void Link::Close() {
  ssl_.reset();
  socket_.Close();
}

}  // namespace quire::worker
