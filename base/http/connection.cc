#include "base/http/connection.h"

#include <exception>
#include <utility>

#include "base/core/log.h"

namespace quire::http {
namespace {

namespace asio = boost::asio;

const char* ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return status < 400 ? "OK" : "Error";
  }
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, const HttpLimits& limits, const RouteTable& routes,
                       HttpMetrics& metrics)
    : limits_(limits),
      routes_(routes),
      metrics_(metrics),
      transport_(std::make_shared<Transport>(std::move(socket), limits, metrics)) {}

asio::awaitable<void> Connection::Run() {
  // g++ 12 miscompiles a co_await in a loop's condition.
  bool more = true;
  while (more) more = co_await ServeOne();
  if (unread_) co_await transport_->Linger();
  transport_->Close(absl::CancelledError("the connection was closed"));
}

void Connection::Drain() {
  draining_ = true;
  if (idle_) transport_->Close(absl::UnavailableError("the server is shutting down"));
}

asio::awaitable<bool> Connection::ServeOne() {
  parser_.emplace(limits_);
  const bool has_head = co_await ReadHead();
  if (!transport_->status().ok()) co_return false;
  if (!has_head && !parser_->refusal()) co_return false;
  Exchange exchange(*this, parser_->head(), RequestId::Random());
  route_ = {};
  if (has_head) {
    unread_ = ++requests_ >= limits_.requests_per_connection;
    reusable_ = parser_->head().keep_alive && !unread_;
    co_await Dispatch(exchange);
    co_await Conclude(exchange);
  } else {
    reusable_ = false;
    unread_ = true;
    co_await exchange.Refuse(*parser_->refusal());
  }
  co_return reusable_ && !draining_ && transport_->status().ok();
}

asio::awaitable<bool> Connection::ReadHead() {
  idle_ = transport_->in().empty();
  const auto timeout = requests_ == 0 ? limits_.head_timeout : limits_.idle_timeout;
  transport_->SetReadDeadline(Transport::Clock::now() + timeout);
  bool begun = requests_ == 0;  // the first head's time runs from the connection's start
  while (true) {
    if (!transport_->in().empty()) {
      idle_ = false;
      if (!std::exchange(begun, true)) {
        transport_->SetReadDeadline(Transport::Clock::now() + limits_.head_timeout);
      }
      transport_->ConsumeIn(parser_->ReadHead(transport_->in()));
      if (parser_->head_done() || parser_->refusal()) break;
    }
    const bool arrived = co_await transport_->Read();
    if (arrived) continue;
    if (transport_->read_expired() && !idle_) parser_->Refuse(Rule::kHeadTimeout);
    break;
  }
  transport_->ClearReadDeadline();
  co_return parser_->head_done();
}

asio::awaitable<void> Connection::Dispatch(Exchange& exchange) {
  const RouteTable::Match match = routes_.Find(exchange.head().method, exchange.head().path);
  route_ = match.path;
  if (match.path.empty()) co_return co_await exchange.Refuse(Rule::kNoRoute);
  if (match.handler == nullptr) {
    Reply reply = RefusalReply(Rule::kMethod);
    reply.headers.emplace_back("allow", match.allow);
    metrics_.CountRefusal(Rule::kMethod);
    co_return co_await exchange.Send(std::move(reply));
  }
  try {
    co_await (*match.handler)(exchange);
  } catch (const std::exception&) {
    Log(LogLevel::kError, "http_handler_threw", "request_id", exchange.id().ToHex(), "route", route_);
  }
}

asio::awaitable<void> Connection::Conclude(Exchange& exchange) {
  transport_->Unwatch();
  transport_->SetKeepAlive(false);
  exchange.ForgetGone();
  if (!transport_->status().ok()) co_return;
  if (!exchange.answered_) {
    co_await exchange.Refuse(Rule::kNoReply);
  } else if (exchange.stream_started_ && !exchange.stream_finished_) {
    // The client must be able to tell a cut stream from a finished one.
    transport_->Close(absl::AbortedError("the stream was abandoned"));
  }
  unread_ |= transport_->lost_bytes() || (exchange.head().has_body() && !exchange.body_read_);
  reusable_ = reusable_ && !unread_;
}

asio::awaitable<std::optional<std::string>> Connection::ReadRawBody(std::optional<Rule>& refusal) {
  using std::chrono::milliseconds;
  const auto start = Transport::Clock::now();
  AskForBody();
  while (true) {
    transport_->ConsumeIn(parser_->ReadBody(transport_->in()));
    if (parser_->refusal()) {
      refusal = parser_->refusal();
      co_return std::nullopt;
    }
    if (parser_->body_done()) break;
    const milliseconds earned(1000 * parser_->body_size() / limits_.body_bytes_per_second);
    transport_->SetReadDeadline(start + std::min(limits_.body_timeout, limits_.body_grace + earned));
    const bool arrived = co_await transport_->Read();
    if (arrived) continue;
    if (transport_->read_expired()) refusal = Rule::kBodyTimeout;
    co_return std::nullopt;
  }
  transport_->ClearReadDeadline();
  co_return parser_->TakeBody();
}

void Connection::AskForBody() {
  const RequestHead& head = parser_->head();
  const bool too_large = head.content_length.value_or(0) > limits_.body_bytes;
  if (head.Find("expect") == nullptr || head.minor_version == 0 || too_large || !transport_->in().empty())
    return;
  transport_->out().AppendRaw("HTTP/1.1 100 Continue\r\n\r\n");
  transport_->Pump();
}

void Connection::QueueHead(const Exchange& exchange, int status, const Headers& headers, bool reusable) {
  metrics_.CountRequest(route_, status);
  reusable_ = reusable_ && reusable && !draining_;
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + ReasonOf(status) + "\r\n";
  for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
  head += "x-request-id: " + exchange.id().ToHex() + "\r\n";
  head += reusable_ ? "\r\n" : "connection: close\r\n\r\n";
  transport_->out().AppendRaw(head);
}

}  // namespace quire::http
