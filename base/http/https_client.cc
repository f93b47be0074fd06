#include "base/http/https_client.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/status.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds, std::chrono::steady_clock;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

constexpr size_t kMostAddresses = 64, kTriedAddresses = 4;
// Of the reply. Its body is read away, up to this: who closes on a sender who has not read resets it.
constexpr uint32_t kReplyHeadBytes = 16 << 10;
constexpr size_t kReplyBodyBytes = 64 << 10;
// Before the final one: 100, 103 and their like.
constexpr int kInterimReplies = 16;
// Of the time that is left, for an address that is not the last: one that is silent is no end.
constexpr int kPartOfTime = 4;

absl::Status StepFailed(const char* step, const error_code& error) {
  if (error == beast::error::timeout)
    return absl::DeadlineExceededError(absl::StrCat(step, ": no answer in time"));
  return absl::UnavailableError(step);
}

beast::http::request<beast::http::string_body> RequestOf(HttpsPost& post) {
  beast::http::request<beast::http::string_body> request(beast::http::verb::post, post.url.target, 11);
  const bool usual = post.url.port == kHttpsPort;
  request.set(beast::http::field::host, usual ? post.url.host : JoinHostPort(post.url.host, post.url.port));
  request.set(beast::http::field::user_agent, "quire");
  request.set(beast::http::field::connection, "close");
  for (const auto& [name, value] : post.headers) request.set(name, value);
  request.body() = std::move(post.body);
  request.prepare_payload();
  return request;
}

// For the name that is asked for, and against it.
bool ExpectName(TlsStream& stream, const std::string& host) {
  stream.set_verify_mode(ssl::verify_peer);
  stream.set_verify_callback(ssl::host_name_verification(host));
  return SSL_set_tlsext_host_name(stream.native_handle(), host.c_str()) == 1;
}

using ReplyParser = beast::http::response_parser<beast::http::buffer_body>;

// Up to the bounds, and whatever comes of it.
asio::awaitable<void> ReadBodyAway(TlsStream& stream, beast::flat_buffer& buffer, ReplyParser& parser) {
  char scratch[4096];
  error_code error;
  for (size_t read = 0; read < kReplyBodyBytes && !parser.is_done();) {
    parser.get().body().data = scratch;
    parser.get().body().size = sizeof scratch;
    read += 1;  // so that it ends
    read += co_await beast::http::async_read_some(stream, buffer, parser,
                                                  asio::redirect_error(asio::use_awaitable, error));
    if (error && error != beast::http::error::need_buffer) co_return;
  }
}

// 101 is the end of HTTP, which nobody asked for.
bool IsInterim(unsigned status) { return status >= 100 && status < 200 && status != 101; }

// The final reply's, in `parser`.
asio::awaitable<error_code> ReadHead(TlsStream& stream, beast::flat_buffer& buffer,
                                     std::optional<ReplyParser>& parser) {
  for (int interim = 0; interim <= kInterimReplies; ++interim) {
    parser.emplace();
    parser->header_limit(kReplyHeadBytes);
    parser->body_limit(boost::none);
    error_code error;
    co_await beast::http::async_read_header(stream, buffer, *parser,
                                            asio::redirect_error(asio::use_awaitable, error));
    if (error || !IsInterim(parser->get().result_int())) co_return error;
  }
  co_return beast::http::error::header_limit;
}

asio::awaitable<absl::StatusOr<int>> SendAndRead(TlsStream& stream, HttpsPost& post) {
  error_code error;
  const beast::http::request<beast::http::string_body> request = RequestOf(post);
  co_await beast::http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return StepFailed("the request was not taken", error);
  std::optional<ReplyParser> parser;
  beast::flat_buffer buffer(kReplyHeadBytes + kReplyBodyBytes);
  error = co_await ReadHead(stream, buffer, parser);
  if (error) co_return StepFailed("no reply's head came", error);
  const int status = static_cast<int>(parser->get().result_int());
  co_await ReadBodyAway(stream, buffer, *parser);
  co_return status;
}

// To the first that is there.
asio::awaitable<error_code> Connect(beast::tcp_stream& socket, const std::vector<tcp::endpoint>& endpoints,
                                    steady_clock::time_point deadline) {
  error_code error;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const steady_clock::time_point now = steady_clock::now();
    const bool last = i + 1 == endpoints.size();
    socket.expires_at(last ? deadline : now + (deadline - now) / kPartOfTime);
    const std::array one = {endpoints[i]};  // a list, so that each begins with a socket of its own
    co_await socket.async_connect(one, asio::redirect_error(asio::use_awaitable, error));
    if (!error || error == asio::error::operation_aborted) break;
  }
  socket.expires_at(deadline);
  co_return error;
}

asio::awaitable<absl::StatusOr<int>> Talk(TlsStream& stream, const std::vector<tcp::endpoint>& endpoints,
                                          steady_clock::time_point deadline, HttpsPost& post) {
  error_code error = co_await Connect(beast::get_lowest_layer(stream), endpoints, deadline);
  if (error) co_return StepFailed("no connection", error);
  co_await stream.async_handshake(ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return StepFailed("no TLS, or a certificate that is not trusted for the name", error);
  co_return co_await SendAndRead(stream, post);
}

}  // namespace

struct HttpsClient::Tls {
  ssl::context context{ssl::context::tls_client};
};

HttpsClient::HttpsClient(Options options, std::unique_ptr<Tls> tls)
    : options_(std::move(options)), tls_(std::move(tls)) {}

HttpsClient::~HttpsClient() = default;

absl::StatusOr<std::unique_ptr<HttpsClient>> HttpsClient::Make(Options options) {
  auto tls = std::make_unique<Tls>();
  tls->context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  error_code error;
  tls->context.set_default_verify_paths(error);
  if (!options.ca_file.empty()) {
    tls->context.load_verify_file(options.ca_file, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat("no certificates are in ", options.ca_file));
  }
  return std::unique_ptr<HttpsClient>(new HttpsClient(std::move(options), std::move(tls)));
}

asio::awaitable<absl::StatusOr<HttpsClient::Addresses>> HttpsClient::Find(const HttpsPost& post,
                                                                          milliseconds limit) const {
  absl::StatusOr<Addresses> found = co_await options_.resolve(post, limit);
  if (!found.ok()) co_return found.status();
  if (found->empty()) co_return absl::UnavailableError("the name has no address");
  // One that may not be reached is enough: a name that has both is no mistake.
  const auto may = [&](const asio::ip::address& address) { return options_.may_reach(post.url, address); };
  if (!std::all_of(found->begin(), found->end(), may)) {
    co_return absl::PermissionDeniedError("the name has an address that may not be reached");
  }
  co_return std::move(found);
}

asio::awaitable<absl::StatusOr<int>> HttpsClient::Post(HttpsPost post, milliseconds limit) const {
  const steady_clock::time_point deadline = steady_clock::now() + limit;
  const absl::StatusOr<Addresses> addresses = co_await Find(post, limit);
  if (!addresses.ok()) co_return addresses.status();
  std::vector<tcp::endpoint> endpoints;
  for (const asio::ip::address& address : *addresses) {
    if (endpoints.size() < kTriedAddresses) endpoints.emplace_back(address, post.url.port);
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  TlsStream stream(executor, tls_->context);
  if (!ExpectName(stream, post.url.host)) co_return absl::UnavailableError("TLS can't be set up");
  bool ended = false;
  const auto on_end = [&post](std::function<void()> end) {
    if (post.on_end) post.on_end(std::move(end));
  };
  const absl::Cleanup forget = [&] { on_end(nullptr); };
  on_end([&] {
    ended = true;
    beast::get_lowest_layer(stream).close();
  });
  if (ended) co_return absl::CancelledError("it was ended");
  const absl::StatusOr<int> status = co_await Talk(stream, endpoints, deadline, post);
  if (!status.ok() && ended) co_return absl::CancelledError("it was ended");
  co_return status;
}

absl::StatusOr<HttpsClient::Addresses> LookUp(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &first) != 0) {
    return absl::UnavailableError("the name is not known");
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(first, freeaddrinfo);
  HttpsClient::Addresses addresses;
  for (const addrinfo* at = first; at != nullptr; at = at->ai_next) {
    tcp::endpoint endpoint;
    if (addresses.size() >= kMostAddresses) return absl::UnavailableError("the name has too many addresses");
    if (at->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), at->ai_addr, at->ai_addrlen);
    addresses.push_back(endpoint.address());
  }
  return addresses;
}

}  // namespace quire::http
