// One client's connection: request after request, each as parse, dispatch, answer, in one straight loop.
// Lives on its io thread; the server holds it until Run returns.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/http/exchange.h"
#include "base/http/http_metrics.h"
#include "base/http/limits.h"
#include "base/http/request_parser.h"
#include "base/http/routes.h"
#include "base/http/transport.h"

namespace quire::http {

class Connection {
 public:
  Connection(boost::asio::ip::tcp::socket socket, const HttpLimits& limits, const RouteTable& routes,
             HttpMetrics& metrics);

  // The connection's whole life.
  boost::asio::awaitable<void> Run();
  // Serves no further request: closes if idle, else after the running one.
  void Drain();
  // Ends the running request too.
  void Abort(absl::Status why) { transport_->Close(std::move(why)); }

 private:
  friend class Exchange;

  // One request. False: the connection is to be closed.
  boost::asio::awaitable<bool> ServeOne();
  // False: closed, idle for too long, or refused.
  boost::asio::awaitable<bool> ReadHead();
  boost::asio::awaitable<void> Dispatch(Exchange& exchange);
  // What is left to do when the handler has returned.
  boost::asio::awaitable<void> Conclude(Exchange& exchange);

  // For Exchange: the body's bytes as sent; nullopt where refusal is set or the client is gone.
  boost::asio::awaitable<std::optional<std::string>> ReadRawBody(std::optional<Rule>& refusal);
  void AskForBody();
  // Queues a reply's head (and counts the reply); the connection is closed after it unless `reusable`.
  void QueueHead(const Exchange& exchange, int status, const Headers& headers, bool reusable);

  const HttpLimits& limits_;
  const RouteTable& routes_;
  HttpMetrics& metrics_;
  std::shared_ptr<Transport> transport_;
  std::optional<RequestParser> parser_;
  std::string_view route_;  // of the running request
  int requests_ = 0;
  bool idle_ = true, draining_ = false, reusable_ = false;
  bool unread_ = false;  // the client may be sending what nobody will read
};

}  // namespace quire::http
