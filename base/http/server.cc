#include "base/http/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/core/log.h"
#include "base/core/status.h"
#include "base/http/connection.h"
#include "base/http/connection_limiter.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 1024;
// How long handlers get to return once their clients are told gone.
constexpr absl::Duration kAbortGrace = absl::Seconds(5);

// A thread and the connections that live on it.
struct IoThread {
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::unordered_set<Connection*> connections;  // this thread only
  std::thread thread;
};

// Refuses at the door: best effort, without waiting for anything.
void AnswerOverCapacity(tcp::socket socket) {
  const Reply reply = RefusalReply(Rule::kOverCapacity);
  const std::string text =
      absl::StrCat("HTTP/1.1 503 Service Unavailable\r\ncontent-type: ", reply.content_type,
                   "\r\ncontent-length: ", reply.body.size(),
                   "\r\nretry-after: 1\r\nconnection: close\r\n\r\n", reply.body);
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace

class Server::Impl {
 public:
  Impl(const HttpServerOptions& options, RouteTable routes, Metrics& metrics)
      : limits_(options.limits),
        routes_(std::move(routes)),
        metrics_(metrics, routes_),
        limiter_(limits_.connections, limits_.connections_per_ip) {
    for (int i = 0; i < std::max(1, options.threads); ++i) threads_.push_back(std::make_unique<IoThread>());
    acceptor_ = std::make_unique<tcp::acceptor>(threads_[0]->io);
  }

  ~Impl() {
    if (!draining_) Drain(std::chrono::milliseconds(0));
    for (const auto& thread : threads_) thread->io.stop();
    for (const auto& thread : threads_) {
      if (thread->thread.joinable()) thread->thread.join();
    }
  }

  absl::Status Bind(const std::string& host, int port) {
    error_code error;
    tcp::resolver resolver(threads_[0]->io);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
    if (!error) acceptor_->open(found.begin()->endpoint().protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_->bind(found.begin()->endpoint(), error);
    if (!error) acceptor_->listen(kBacklog, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("can't listen on ", host, ":", port, ": ", error.message(), "; choose another port"));
    }
    port_ = acceptor_->local_endpoint().port();
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(threads_[0]->io, Accept(), asio::detached);
    for (const auto& thread : threads_) {
      thread->thread = std::thread([&io = thread->io] { io.run(); });
    }
  }

  int port() const { return port_; }

  void Drain(std::chrono::milliseconds deadline) {
    draining_ = true;
    asio::post(threads_[0]->io, [this] { acceptor_->close(); });
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
    for (size_t next = 0; acceptor_->is_open(); next = (next + 1) % threads_.size()) {
      error_code error;
      IoThread& thread = *threads_[next];
      tcp::socket socket =
          co_await acceptor_->async_accept(thread.io, asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        // Out of descriptors, most likely: let a connection end rather than spin.
        Log(LogLevel::kWarn, "http_accept_failed", "reason", error.message());
        asio::steady_timer pause(threads_[0]->io, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      } else {
        Admit(std::move(socket), thread);
      }
    }
  }

  void Admit(tcp::socket socket, IoThread& thread) {
    error_code error;
    const std::string address = socket.remote_endpoint(error).address().to_string();
    if (error) return;  // gone already
    if (!limiter_.TryAdd(address)) {
      metrics_.CountRefusal(Rule::kOverCapacity);
      return AnswerOverCapacity(std::move(socket));
    }
    metrics_.AddConnections(1);
    asio::co_spawn(thread.io, Serve(std::move(socket), thread, address), asio::detached);
  }

  asio::awaitable<void> Serve(tcp::socket socket, IoThread& thread, std::string address) {
    {
      Connection connection(std::move(socket), limits_, routes_, metrics_);
      thread.connections.insert(&connection);
      if (draining_) connection.Drain();
      co_await connection.Run();
      thread.connections.erase(&connection);
    }
    metrics_.AddConnections(-1);
    limiter_.Remove(address);
  }

  template <typename Visit>
  void ForEachConnection(Visit visit) {
    for (const auto& thread : threads_) {
      asio::post(thread->io, [&thread = *thread, visit] {
        for (Connection* connection : thread.connections) visit(*connection);
      });
    }
  }

  const HttpLimits limits_;
  const RouteTable routes_;
  HttpMetrics metrics_;
  ConnectionLimiter limiter_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<tcp::acceptor> acceptor_;  // threads_[0]'s
  std::atomic<bool> draining_ = false;       // connections that start now serve nothing
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
void Server::Drain(std::chrono::milliseconds deadline) { impl_->Drain(deadline); }
void Server::Abort() { impl_->Abort(); }

}  // namespace quire::http
