#include "base/http/transport.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/core/absl_text.h"
#include "base/core/log.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kReadBytes = 32 << 10;
constexpr size_t kKeptReadCapacity = 4 << 10;
// How long, and how much, a goodbye may take.
constexpr std::chrono::seconds kLingerTime(2);
constexpr size_t kLingerBytes = 1 << 20;

// The kernel's probes while nothing is on its way; with the timeout it counts no probes (tcp(7)).
void AskForPeer(int socket, const HttpLimits& limits) {
  const auto set = [socket](int level, int option, int64_t value) {
    const int given = static_cast<int>(value);
    setsockopt(socket, level, option, &given, sizeof given);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, limits.peer_idle.count());
  set(IPPROTO_TCP, TCP_KEEPINTVL, limits.peer_probe_interval.count());
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, std::chrono::milliseconds(limits.peer_timeout).count());
}

// Taken from it.
error_code PendingError(tcp::socket& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size);
  return {error, boost::system::system_category()};
}

// Bytes in the kernel that the client has not acknowledged.
int UntakenBytes(tcp::socket& socket) {
  int bytes = 0;
  return ioctl(socket.native_handle(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

}  // namespace

Transport::Transport(tcp::socket socket, const HttpLimits& limits, HttpMetrics& metrics)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      limits_(limits),
      metrics_(metrics),
      out_(limits),
      last_write_(Clock::now()) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::send_buffer_size(limits.send_buffer_bytes), ignored);
  AskForPeer(socket_.native_handle(), limits);
}

void Transport::ConsumeIn(size_t count) {
  if (count < in_.size()) {
    in_.erase(0, count);
  } else if (in_.capacity() > kKeptReadCapacity) {
    in_ = {};
  } else {
    in_.clear();
  }
}

bool Transport::TryRead(size_t most) {
  char bytes[kReadBytes];
  error_code error;
  const size_t count = socket_.read_some(asio::buffer(bytes, std::min(most, sizeof bytes)), error);
  if (error == asio::error::would_block) return false;
  if (error == asio::error::eof) {
    at_eof_ = true;
    return false;
  }
  if (error) {
    EndBy(error, "the connection was reset");
    return false;
  }
  metrics_.AddBytesIn(count);
  in_.append(bytes, count);
  return true;
}

asio::awaitable<bool> Transport::Read() {
  while (status_.ok() && !at_eof_ && !read_expired_) {
    if (TryRead(kReadBytes)) co_return true;
    if (!status_.ok() || at_eof_) break;
    WaitReadable();
    co_await Suspend([this](Resumer self) { reader_ = std::move(self); });
  }
  co_return false;
}

void Transport::WaitReadable() {
  if (std::exchange(wait_readable_pending_, true)) return;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code&) {
    self->wait_readable_pending_ = false;
    if (self->status_.ok()) self->Guard([&] { self->OnReadable(); });
  });
}

void Transport::OnReadable() {
  if (reader_) return reader_.Resume();
  if (!watching_) return;
  if (RoomForNext() > 0) TryRead(RoomForNext());
  if (at_eof_) Close(absl::CancelledError("the client closed the connection"));
  if (status_.ok()) KeepWatching();
}

void Transport::KeepWatching() {
  if (RoomForNext() > 0) {
    WaitReadable();
  } else {
    WaitHangup();
  }
}

// With bytes left in the kernel the socket is always readable, and Asio knows no wait for the end alone.
void Transport::WaitHangup() {
  if (hangup_) return;
  const int waiter = epoll_create1(EPOLL_CLOEXEC);
  if (waiter < 0) return Close(absl::ResourceExhaustedError("no descriptor is left"));
  hangup_.emplace(socket_.get_executor(), waiter);
  epoll_event event{};
  event.events = EPOLLRDHUP;
  epoll_ctl(waiter, EPOLL_CTL_ADD, socket_.native_handle(), &event);
  hangup_->async_wait(
      asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
        if (error || !self->watching_) return;
        self->Guard([&] { self->EndBy(PendingError(self->socket_), "the client closed the connection"); });
      });
}

void Transport::Unwatch() {
  watching_ = false;
  hangup_.reset();
}

void Transport::Watch() {
  watching_ = true;
  if (!status_.ok()) return;
  if (at_eof_) return Close(absl::CancelledError("the client closed the connection"));
  KeepWatching();
}

void Transport::SetReadDeadline(Clock::time_point deadline) {
  read_deadline_ = deadline;
  read_expired_ = false;
  ArmTimer(deadline);
}

void Transport::Pump() {
  while (status_.ok() && !wait_writable_pending_) {
    const std::string_view front = out_.Front();
    if (front.empty()) break;
    error_code error;
    const size_t count = socket_.write_some(asio::buffer(front.data(), front.size()), error);
    if (error == asio::error::would_block) {
      if (write_deadline_ == kNever) AwaitTaking();
      WaitWritable();
    } else if (error) {
      EndBy(error, "the client closed the connection");
    } else {
      metrics_.AddBytesOut(count);
      out_.Consume(count);
      write_deadline_ = kNever;
      last_write_ = Clock::now();
    }
  }
}

void Transport::WaitWritable() {
  wait_writable_pending_ = true;
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code&) {
    self->wait_writable_pending_ = false;
    self->Guard([&] { self->Pump(); });
    self->writer_.Resume();
  });
}

void Transport::AwaitTaking() {
  untaken_ = UntakenBytes(socket_);
  write_deadline_ = Clock::now() + limits_.write_timeout;
  ArmTimer(write_deadline_);
}

bool Transport::TookSome() {
  if (UntakenBytes(socket_) >= untaken_) return false;
  AwaitTaking();
  return true;
}

asio::awaitable<void> Transport::Room() {
  while (status_.ok() && out_.over_bounds()) {
    co_await Suspend([this](Resumer self) { writer_ = std::move(self); });
  }
}

asio::awaitable<void> Transport::Flush() {
  while (status_.ok() && !out_.empty()) {
    co_await Suspend([this](Resumer self) { writer_ = std::move(self); });
  }
}

void Transport::KeepAlive(std::chrono::milliseconds first_silence, std::string_view said) {
  keep_alive_ = said;
  silence_ = first_silence;
  last_write_ = Clock::now();
  ArmTimer(KeepAliveDue());
}

Transport::Clock::time_point Transport::KeepAliveDue() const {
  return silence_ ? last_write_ + *silence_ : kNever;
}

template <typename Step>
void Transport::Guard(Step step) {
  try {
    step();
  } catch (...) {
    Log(LogLevel::kError, "http_connection_threw");
    Close(absl::InternalError("the connection failed"));
  }
}

void Transport::ArmTimer(Clock::time_point when) {
  if (when >= timer_due_ || !status_.ok()) return;
  timer_due_ = when;
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && self->status_.ok()) self->Guard([&] { self->OnTimer(); });
  });
}

void Transport::OnTimer() {
  timer_due_ = kNever;
  const Clock::time_point now = Clock::now();
  if (now >= write_deadline_ && !TookSome()) return EndBy(asio::error::timed_out, "");
  if (now >= read_deadline_) {
    read_deadline_ = kNever;
    read_expired_ = true;
    reader_.Resume();
  }
  if (now >= KeepAliveDue()) {
    last_write_ = now;  // also where a slow reader's queue is in the way
    silence_ = limits_.keep_alive_interval;
    if (out_.empty()) out_.AppendFrame(keep_alive_, 0);
    Pump();
  }
  ArmTimer(std::min({read_deadline_, write_deadline_, KeepAliveDue()}));
}

void Transport::EndBy(const error_code& error, std::string_view otherwise) {
  if (error != asio::error::timed_out || out_.empty()) return Close(absl::CancelledError(Absl(otherwise)));
  if (status_.ok()) metrics_.CountSlowReader();
  Close(absl::DeadlineExceededError("the client reads too slowly"));
}

void Transport::Close(absl::Status why) {
  if (!status_.ok()) return;
  status_ = std::move(why);
  error_code ignored;
  // Whatever the kernel still holds for a client that doesn't read is dropped too.
  if (!out_.empty()) socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  hangup_.reset();
  timer_.cancel();
  reader_.Resume();
  writer_.Resume();
  asio::post(executor(), [self = shared_from_this()] {
    self->Guard([&] {
      if (self->on_end_) std::exchange(self->on_end_, nullptr)();
    });
  });
}

asio::awaitable<void> Transport::Linger() {
  if (!status_.ok()) co_return;
  Unwatch();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  SetReadDeadline(Clock::now() + kLingerTime);
  size_t discarded = in_.size();
  in_ = {};
  bool more = true;
  while (more && discarded < kLingerBytes) {
    more = co_await Read();
    discarded += in_.size();
    in_.clear();
  }
}

}  // namespace quire::http
