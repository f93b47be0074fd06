#include "base/http/connection.h"

#include <exception>
#include <typeinfo>
#include <utility>

#include "base/core/log.h"

namespace quire::http {

namespace asio = boost::asio;

Connection::Connection(asio::ip::tcp::socket socket, ServerContext& server)
    : server_(server),
      transport_(std::make_shared<Transport>(std::move(socket), server.limits, server.metrics)) {}

asio::awaitable<void> Connection::Run() {
  bool more = true, threw = false;
  while (more) {
    try {
      more = co_await ServeOne();
    } catch (...) {
      Log(LogLevel::kError, "http_connection_threw", "request_id", exchange_ ? exchange_->id().ToHex() : "");
      more = false;
      threw = true;
    }
  }
  if (threw && exchange_ && !exchange_->answered()) {
    exchange_->EndConnection();
    co_await exchange_->Refuse(Rule::kNoReply);
  }
  waiting_since_ = Transport::Clock::now();
  if (unread_) co_await transport_->Linger();
  transport_->Close(absl::CancelledError("the connection was closed"));
}

void Connection::Drain() {
  draining_ = true;
  if (idle_) transport_->Close(absl::UnavailableError("the server is shutting down"));
}

asio::awaitable<bool> Connection::ServeOne() {
  exchange_.reset();
  parser_.emplace(server_.limits);
  Exchange& exchange = exchange_.emplace(server_, *transport_, *parser_);
  const bool has_head = co_await ReadHead();
  if (!transport_->status().ok()) co_return false;
  if (has_head) {
    unread_ = ++requests_ >= server_.limits.requests_per_connection;
    const RequestHead& head = parser_->head();
    exchange.Begin(server_.routes.Find(head.method, head.path), head.keep_alive && !unread_);
    co_await Dispatch(exchange);
  } else if (parser_->refusal()) {
    unread_ = true;
    co_await exchange.Refuse(*parser_->refusal());
  } else {
    co_return false;
  }
  co_await Conclude(exchange);
  exchange.Record();
  co_return exchange.goes_on() && !draining_ && transport_->status().ok();
}

asio::awaitable<bool> Connection::ReadHead() {
  waiting_since_ = Transport::Clock::now();
  idle_ = transport_->in().empty();
  const auto timeout = requests_ == 0 ? server_.limits.head_timeout : server_.limits.idle_timeout;
  transport_->SetReadDeadline(Transport::Clock::now() + timeout);
  bool begun = requests_ == 0;  // the first head's time runs from the connection's start
  while (true) {
    if (!transport_->in().empty()) {
      idle_ = false;
      if (!std::exchange(begun, true)) {
        transport_->SetReadDeadline(Transport::Clock::now() + server_.limits.head_timeout);
      }
      transport_->ConsumeIn(parser_->ReadHead(transport_->in()));
      if (parser_->head_done() || parser_->refusal()) break;
    }
    const bool arrived = co_await transport_->Read();
    if (arrived) continue;
    if (transport_->read_expired() && !idle_) parser_->Refuse(Rule::kHeadTimeout);
    break;
  }
  waiting_since_.reset();
  transport_->ClearReadDeadline();
  co_return parser_->head_done();
}

// What was thrown is not logged but for its type: it may quote the client.
asio::awaitable<void> Connection::Dispatch(Exchange& exchange) {
  const RouteTable::Match& match = exchange.match();
  if (match.handler == nullptr) co_return co_await AnswerAlone(exchange);
  const char* thrown = nullptr;
  try {
    co_await (*match.handler)(exchange);
  } catch (const std::exception& error) {
    thrown = typeid(error).name();
  } catch (...) {
    thrown = "unknown";
  }
  if (thrown == nullptr) co_return;
  exchange.EndConnection();
  Log(LogLevel::kError, "http_handler_threw", "request_id", exchange.id().ToHex(), "route", match.path,
      "type", thrown);
}

asio::awaitable<void> Connection::AnswerAlone(Exchange& exchange) {
  const RouteTable::Match& match = exchange.match();
  const RequestHead& head = exchange.head();
  if (server_.guard) {
    const std::optional<ApiError> stranger = server_.guard(exchange);
    if (stranger) co_return co_await exchange.SendError(*stranger);
  }
  const bool options = head.method == "OPTIONS";
  const std::string allow = head.path == "*" ? server_.routes.AllMethods() : match.allow;
  if (allow.empty()) co_return co_await exchange.Refuse(Rule::kNoRoute);
  const Rule rule = IsKnownMethod(head.method) ? Rule::kMethod : Rule::kUnknownMethod;
  Reply reply = options ? Reply{.status = 204} : exchange.ReplyTo(RefusalError(rule));
  if (options && server_.cors.IsPreflight(head)) reply.headers = server_.cors.PreflightHeaders(head, allow);
  reply.headers.emplace_back("allow", allow);
  if (!options) server_.metrics.CountRefusal(rule);
  co_await exchange.Send(std::move(reply));
}

asio::awaitable<void> Connection::Conclude(Exchange& exchange) {
  transport_->Unwatch();
  transport_->StopKeepAlive();
  transport_->set_on_end(nullptr);
  if (!transport_->status().ok()) co_return;
  if (!exchange.answered()) {
    co_await exchange.Refuse(Rule::kNoReply);
  } else if (exchange.cut()) {
    // The client must be able to tell a cut stream from a finished one.
    transport_->Close(absl::AbortedError("the stream was abandoned"));
  }
  unread_ |= exchange.body_left();
  if (unread_) exchange.EndConnection();
}

}  // namespace quire::http
