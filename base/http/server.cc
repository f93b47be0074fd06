#include "base/http/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/core/fd.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "base/http/connection.h"
#include "base/http/connection_limiter.h"
#include "base/http/reply_head.h"
#include "base/http/server_context.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 1024;
// How long handlers get to return once their clients are told gone.
constexpr absl::Duration kAbortGrace = absl::Seconds(5);

// An open connection, as it counts against the caps and in the metrics.
class Slot {
 public:
  Slot(ConnectionLimiter& limiter, HttpMetrics& metrics, std::string address)
      : limiter_(&limiter), metrics_(&metrics), address_(std::move(address)) {
    metrics_->AddConnections(1);
  }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() { GiveBack(); }
  void GiveBack() {
    if (limiter_ == nullptr) return;
    metrics_->AddConnections(-1);
    std::exchange(limiter_, nullptr)->Remove(address_);
  }
  bool given_back() const { return limiter_ == nullptr; }
  const std::string& address() const { return address_; }

 private:
  ConnectionLimiter* limiter_;
  HttpMetrics* metrics_;
  std::string address_;
};

struct OpenConnection {
  Connection* connection;
  Slot* slot;
};

// A thread and the connections that live on it. (They outlive `io`, which owns the coroutines.)
struct IoThread {
  std::list<OpenConnection> connections;  // this thread only
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;

  void Run() {
    while (!io.stopped()) {
      try {
        io.run();
      } catch (...) {
        Log(LogLevel::kError, "http_thread_threw");  // and goes on with the other connections
      }
    }
  }
};

// A connection's place in its thread's list.
class Listed {
 public:
  Listed(std::list<OpenConnection>& list, Connection& connection, Slot& slot)
      : list_(list), place_(list.insert(list.end(), {&connection, &slot})) {}
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() { list_.erase(place_); }

 private:
  std::list<OpenConnection>& list_;
  const std::list<OpenConnection>::iterator place_;
};

// Refuses at the door: best effort, without waiting for anything.
void AnswerOverCapacity(tcp::socket socket, const ServerContext& server) {
  const Reply reply = ErrorReply(RefusalError(Rule::kOverCapacity));
  Headers headers{{"content-type", reply.content_type},
                  {"content-length", std::to_string(reply.body.size())},
                  {"retry-after", "1"},
                  {"x-request-id", RequestId::Random().ToHex()}};
  server.cors.AddTo(headers, RequestHead());
  const std::string text =
      ReplyHead(reply.status, headers, server.clock.UnixMs() / 1000, /*keep_alive=*/false) + reply.body;
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace

class Server::Impl {
 public:
  Impl(const HttpServerOptions& options, RouteTable routes, Metrics& metrics)
      : context_(options, std::move(routes), metrics),
        limiter_(options.limits.connections, options.limits.connections_per_ip) {
    for (int i = 0; i < std::max(1, options.threads); ++i) threads_.push_back(std::make_unique<IoThread>());
    acceptor_ = std::make_unique<tcp::acceptor>(threads_[0]->io);
  }

  ~Impl() {
    if (!closed_) Drain(std::chrono::milliseconds(0));
    for (const auto& thread : threads_) thread->io.stop();
    for (const auto& thread : threads_) {
      if (thread->thread.joinable()) thread->thread.join();
    }
  }

  absl::Status Bind(const std::string& host, int port) {
    QUIRE_RETURN_IF_ERROR(CheckListenHost(host));
    error_code error;
    tcp::resolver resolver(threads_[0]->io);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
    if (error) return CantListen(host, port, 0, error.message());
    acceptor_->open(found.begin()->endpoint().protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_->bind(found.begin()->endpoint(), error);
    if (!error) acceptor_->listen(kBacklog, error);
    if (error) return CantListen(host, port, error.value(), error.message());
    port_ = acceptor_->local_endpoint().port();
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(threads_[0]->io, Accept(), ReportThrown);
    for (const auto& thread : threads_) {
      thread->thread = std::thread([thread = thread.get()] { thread->Run(); });
    }
  }

  int port() const { return port_; }

  void Leave() { context_.leaving = true; }

  void Drain(std::chrono::milliseconds deadline) {
    Leave();
    closed_ = true;
    CloseAcceptor();
    ForEachConnection([](Connection& connection) { connection.Drain(); });
    if (limiter_.AwaitNone(absl::Milliseconds(deadline.count()))) return;
    Abort();
    if (!limiter_.AwaitNone(kAbortGrace)) Log(LogLevel::kError, "http_handlers_did_not_return");
  }

  void Abort() {
    ForEachConnection([](Connection& connection) {
      connection.Abort(absl::UnavailableError("the server is shutting down"));
    });
  }

 private:
  asio::awaitable<void> Accept() {
    for (size_t next = 0; acceptor_->is_open(); next = After(next)) {
      error_code error;
      asio::io_context& io = threads_[next]->io;
      tcp::socket socket =
          co_await acceptor_->async_accept(io, asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        // Out of descriptors, most likely: let a connection end rather than spin.
        Log(LogLevel::kWarn, "http_accept_failed", "reason", error.message());
        asio::steady_timer pause(threads_[0]->io, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      } else {
        AdmitOrDrop(std::move(socket), next);
      }
    }
  }

  // The acceptor goes on, whatever one connection throws.
  void AdmitOrDrop(tcp::socket socket, size_t thread) {
    try {
      Admit(std::move(socket), thread);
    } catch (...) {
      Log(LogLevel::kError, "http_connection_threw");
    }
  }

  size_t After(size_t thread) const { return (thread + 1) % threads_.size(); }

  void Admit(tcp::socket socket, size_t thread) {
    error_code error;
    std::string address = socket.remote_endpoint(error).address().to_string();
    if (error) return;  // gone already
    asio::co_spawn(threads_[thread]->io,
                   Serve(std::move(socket), thread, std::move(address), threads_.size()), ReportThrown);
  }

  // Of another thread's connections: `threads_left` of them, this one included, have not been asked for room.
  void TryNextThread(tcp::socket socket, size_t thread, std::string address, size_t threads_left) {
    error_code error;
    const tcp protocol = socket.local_endpoint(error).protocol();
    IoThread& next = *threads_[After(thread)];
    tcp::socket moved(next.io);
    const int descriptor = socket.release(error);
    if (error) return;
    moved.assign(protocol, descriptor, error);
    if (error) {
      Fd closes(descriptor);  // no reactor took it
      return;
    }
    asio::co_spawn(next.io, Serve(std::move(moved), After(thread), std::move(address), threads_left - 1),
                   ReportThrown);
  }

  asio::awaitable<void> Serve(tcp::socket socket, size_t index, std::string address, size_t threads_left) {
    IoThread& thread = *threads_[index];
    if (!TakePlace(thread, address)) {
      if (threads_left > 1) {
        TryNextThread(std::move(socket), index, std::move(address), threads_left);
        co_return;
      }
      context_.metrics.CountRefusal(Rule::kOverCapacity);
      AnswerOverCapacity(std::move(socket), context_);
      co_return;
    }
    Slot slot(limiter_, context_.metrics, std::move(address));
    Connection connection(std::move(socket), context_);
    const Listed listed(thread.connections, connection, slot);
    if (closed_) connection.Drain();
    co_await connection.Run();
  }

  // Where all places are taken, whoever of this thread has sent no request for the longest time makes room.
  bool TakePlace(IoThread& thread, const std::string& address) {
    while (true) {
      const ConnectionLimiter::Room room = limiter_.TryAdd(address);
      if (room == ConnectionLimiter::Room::kAdded) return true;
      const bool any_address = room == ConnectionLimiter::Room::kFull;
      OpenConnection* oldest = nullptr;
      for (OpenConnection& open : thread.connections) {
        if (!open.connection->waiting_since() || open.slot->given_back()) continue;
        if (!any_address && open.slot->address() != address) continue;
        if (oldest == nullptr || open.connection->waiting_since() < oldest->connection->waiting_since()) {
          oldest = &open;
        }
      }
      if (oldest == nullptr) return false;
      oldest->slot->GiveBack();
      oldest->connection->Abort(absl::UnavailableError("others need the place"));
    }
  }

  static void ReportThrown(std::exception_ptr thrown) {
    if (thrown != nullptr) Log(LogLevel::kError, "http_connection_threw");
  }

  // Returns when nobody can connect any more.
  void CloseAcceptor() {
    auto closed = std::make_shared<Notification>();
    asio::post(threads_[0]->io, [this, closed] {
      acceptor_->close();
      closed->Notify();
    });
    if (threads_[0]->thread.joinable()) closed->WaitForNotification();
  }

  template <typename Visit>
  void ForEachConnection(Visit visit) {
    for (const auto& thread : threads_) {
      asio::post(thread->io, [&thread = *thread, visit] {
        for (const OpenConnection& open : thread.connections) visit(*open.connection);
      });
    }
  }

  ServerContext context_;
  ConnectionLimiter limiter_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<tcp::acceptor> acceptor_;  // threads_[0]'s
  std::atomic<bool> closed_ = false;         // connections that start now serve nothing
  int port_ = 0;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const HttpServerOptions& options, RouteTable routes,
                                                      Metrics& metrics) {
  auto impl = std::make_unique<Impl>(options, std::move(routes), metrics);
  QUIRE_RETURN_IF_ERROR(impl->Bind(options.host, options.port));
  impl->Run();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

int Server::port() const { return impl_->port(); }
void Server::Leave() { impl_->Leave(); }
void Server::Drain(std::chrono::milliseconds deadline) { impl_->Drain(deadline); }
void Server::Abort() { impl_->Abort(); }

}  // namespace quire::http
