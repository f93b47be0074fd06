// A connection's socket, as bytes and time: what has arrived, what has still to leave (an Outbox), and the
// limits on waiting for either. Reads and writes are tried at once and wait only where the kernel has nothing
// or no room, so that a frame costs one system call and no timer. Lives and is called on its io thread only;
// held by shared_ptr because pending waits keep it alive.
#pragma once

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/async/resumer.h"
#include "base/http/http_metrics.h"
#include "base/http/limits.h"
#include "base/http/outbox.h"

namespace quire::http {

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Clock = std::chrono::steady_clock;

  Transport(boost::asio::ip::tcp::socket socket, const HttpLimits& limits, HttpMetrics& metrics);

  boost::asio::any_io_executor executor() { return socket_.get_executor(); }
  // OK while the connection stands; then why it ended.
  const absl::Status& status() const { return status_; }

  // Reading. `in` holds what has arrived and was not yet consumed.
  std::string& in() { return in_; }
  void ConsumeIn(size_t count);
  // Waits for more bytes in in(). False: the client closed its side, the deadline passed (read_expired()) or
  // the connection ended.
  boost::asio::awaitable<bool> Read();
  // From when on a waiting Read gives up; also while it waits.
  void SetReadDeadline(Clock::time_point deadline);
  void ClearReadDeadline() { read_deadline_ = kNever; }
  bool read_expired() const { return read_expired_; }
  // Keeps an eye on the socket while nobody reads: the client's leaving ends the connection. Of the requests
  // that come meanwhile a head's bytes are kept here, the rest is left to the kernel and so to the client.
  void Watch();
  void Unwatch();

  // Writing. Append to out(), then Pump: writes what the socket takes now, and the rest as it takes it.
  Outbox& out() { return out_; }
  void Pump();
  // Wait, after a Pump, until the outbox is within its bounds (Room) or empty (Flush), or the connection
  // ended.
  boost::asio::awaitable<void> Room();
  boost::asio::awaitable<void> Flush();
  // From now on silence is filled with `said`, which outlives this: first after `first_silence`, then after
  // the usual interval.
  void KeepAlive(std::chrono::milliseconds first_silence, std::string_view said);
  void StopKeepAlive() { silence_ = std::nullopt; }

  // Ends the connection at once: every wait returns, `on_end` is called (later, on the executor).
  void Close(absl::Status why);
  void set_on_end(std::function<void()> on_end) { on_end_ = std::move(on_end); }
  // Before Close, where the client may still be sending: FIN, then reads away what comes, for a moment (an
  // RST would destroy the reply on its way).
  boost::asio::awaitable<void> Linger();

 private:
  static constexpr Clock::time_point kNever = Clock::time_point::max();

  // Takes what the socket has, at most so many bytes. True: in() grew.
  bool TryRead(size_t most);
  void WaitReadable();
  void OnReadable();
  // Waits for whatever Watch is to notice: bytes while there is room for them, then the end alone.
  void KeepWatching();
  void WaitHangup();
  size_t RoomForNext() const { return limits_.head_bytes - std::min(limits_.head_bytes, in_.size()); }
  void WaitWritable();
  // From now on the client has the write timeout to take something.
  void AwaitTaking();
  // Whether it did, of what the kernel holds for it. The kernel has room again only when much was taken.
  bool TookSome();
  // Makes the timer fire no later than `when`.
  void ArmTimer(Clock::time_point when);
  void OnTimer();
  // The socket says why it ended. The kernel gives up who takes nothing of what waits here, often before the
  // write's own deadline.
  void EndBy(const boost::system::error_code& error, std::string_view otherwise);
  // Runs what a wait called; what it throws ends this connection alone.
  template <typename Step>
  void Guard(Step step);
  Clock::time_point KeepAliveDue() const;

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  const HttpLimits& limits_;
  HttpMetrics& metrics_;
  absl::Status status_;
  std::function<void()> on_end_;

  std::string in_;
  bool wait_readable_pending_ = false, watching_ = false;
  bool at_eof_ = false, read_expired_ = false;
  std::optional<boost::asio::posix::stream_descriptor> hangup_;  // readable when the client has left
  Resumer reader_;

  Outbox out_;
  bool wait_writable_pending_ = false;
  int untaken_ = 0;  // bytes that the kernel held for the client when the write deadline was set
  std::optional<std::chrono::milliseconds> silence_;  // that is filled
  std::string_view keep_alive_;                       // with this
  Clock::time_point last_write_;
  Resumer writer_;

  Clock::time_point read_deadline_ = kNever, write_deadline_ = kNever, timer_due_ = kNever;
};

}  // namespace quire::http
