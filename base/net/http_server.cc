#include "base/net/http_server.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;
using Reply = http::response<http::string_body>;

constexpr int kMaxConnections = 64;
constexpr uint32_t kMaxHeadBytes = 16 << 10;
constexpr uint64_t kMaxBodyBytes = 1 << 20;
constexpr std::chrono::seconds kRequestTimeout(10);

auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
        absl::ascii_isxdigit(text[i + 2])) {
      decoded += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

std::map<std::string, std::string> ParseQuery(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(pair.size(), equals + 1));
    if (!pair.empty()) query[PercentDecode(pair.substr(0, equals))] = PercentDecode(value);
  }
  return query;
}

HttpRequest ToRequest(http::request<http::string_body>&& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const size_t question = std::min(target.find('?'), target.size());
  request.path = target.substr(0, question);
  request.query = ParseQuery(std::string_view(target).substr(std::min(target.size(), question + 1)));
  for (const auto& field : message) {
    request.headers[absl::AsciiStrToLower(std::string(field.name_string()))] = std::string(field.value());
  }
  request.body = std::move(message.body());
  return request;
}

// The answer to a request that could not be read; nullopt where the connection itself is gone or timed out.
std::optional<HttpReply> ReplyToReadError(error_code error) {
  if (error == http::error::body_limit) {
    return HttpReply{413, "application/json", R"({"error":"the body is larger than 1 MiB"})", {}};
  }
  if (error == http::error::header_limit) {
    return HttpReply{431, "application/json", R"({"error":"the headers are larger than 16 KiB"})", {}};
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != http::make_error_code(http::error::bad_target).category()) {
    return std::nullopt;
  }
  return HttpReply{400, "application/json", R"({"error":"not a valid HTTP/1.1 request"})", {}};
}

Reply ToMessage(HttpReply&& reply, unsigned version, bool keep_alive) {
  Reply message(static_cast<http::status>(reply.status), version);
  message.set(http::field::content_type, reply.content_type);
  for (const auto& [name, value] : reply.headers) message.set(name, value);
  message.body() = std::move(reply.body);
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

class BeastHttpServer final : public HttpServer {
 public:
  explicit BeastHttpServer(Handler handler) : handler_(std::move(handler)) {}

  ~BeastHttpServer() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  int port() const override { return port_; }

  absl::Status Bind(const std::string& host, int port) {
    error_code error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
    if (!error) acceptor_.open(found.begin()->endpoint().protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(found.begin()->endpoint(), error);
    if (!error) acceptor_.listen(kMaxConnections, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("can't listen on ", host, ":", port, ": ", error.message(), "; choose another port"));
    }
    port_ = acceptor_.local_endpoint().port();
    return absl::OkStatus();
  }

  void Run() {
    asio::co_spawn(io_, Accept(), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }

 private:
  asio::awaitable<void> Accept() {
    while (true) {
      error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(Into(error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        Log(LogLevel::kWarn, "http_accept_failed", "reason", error.message());
        // Out of descriptors: wait for a connection to end rather than spin.
        asio::steady_timer pause(io_, std::chrono::milliseconds(100));
        co_await pause.async_wait(Into(error));
      } else if (connections_ < kMaxConnections) {
        asio::co_spawn(io_, Serve(beast::tcp_stream(std::move(socket))), asio::detached);
      }
    }
  }

  asio::awaitable<void> Serve(beast::tcp_stream stream) {
    ++connections_;
    beast::flat_buffer buffer(kMaxHeadBytes + kMaxBodyBytes);
    // g++ 12 miscompiles a co_await in a loop's condition.
    bool more = true;
    while (more) more = co_await ServeOne(stream, buffer);
    error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    --connections_;
  }

  // One request and its reply; false when the connection is to be closed.
  asio::awaitable<bool> ServeOne(beast::tcp_stream& stream, beast::flat_buffer& buffer) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMaxHeadBytes);
    parser.body_limit(kMaxBodyBytes);
    stream.expires_after(kRequestTimeout);
    error_code error;
    co_await http::async_read(stream, buffer, parser, Into(error));
    const unsigned version = parser.get().version() == 10 ? 10 : 11;
    const bool keep_alive = !error && parser.keep_alive();
    std::optional<HttpReply> reply;
    if (error) {
      reply = ReplyToReadError(error);
      if (!reply) co_return false;
    } else {
      reply = handler_(ToRequest(parser.release()));
    }
    Reply message = ToMessage(std::move(*reply), version, keep_alive);
    stream.expires_after(kRequestTimeout);
    co_await http::async_write(stream, message, Into(error));
    co_return !error && keep_alive;
  }

  const Handler handler_;
  int connections_ = 0;  // the server's thread only
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  int port_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& host, int port,
                                                              Handler handler) {
  auto server = std::make_unique<BeastHttpServer>(std::move(handler));
  QUIRE_RETURN_IF_ERROR(server->Bind(host, port));
  server->Run();
  return server;
}

}  // namespace quire
