// One client's connection: request after request, each as parse, dispatch, answer, in one straight loop.
// Lives on its io thread; the server holds it until Run returns. Always: whatever is thrown inside ends this
// connection alone, with a 500 where nothing was sent.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>

#include "base/http/exchange.h"
#include "base/http/request_parser.h"
#include "base/http/server_context.h"
#include "base/http/transport.h"

namespace quire::http {

class Connection {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ServerContext& server);

  // The connection's whole life.
  boost::asio::awaitable<void> Run();
  // Serves no further request: closes if idle, else after the running one.
  void Drain();
  // Since when it waits for a whole head, or for its client to close; nullopt: a request runs.
  const std::optional<Transport::Clock::time_point>& waiting_since() const { return waiting_since_; }
  // Ends the running request too.
  void Abort(absl::Status why) { transport_->Close(std::move(why)); }

 private:
  // One request. False: the connection is to be closed.
  boost::asio::awaitable<bool> ServeOne();
  // False: closed, idle for too long, or refused.
  boost::asio::awaitable<bool> ReadHead();
  boost::asio::awaitable<void> Dispatch(Exchange& exchange);
  // What needs no handler: preflights, OPTIONS, unknown paths and methods; the guard's refusal instead.
  boost::asio::awaitable<void> AnswerAlone(Exchange& exchange);
  // What is left to do when the handler has returned.
  boost::asio::awaitable<void> Conclude(Exchange& exchange);

  ServerContext& server_;
  std::shared_ptr<Transport> transport_;
  std::optional<RequestParser> parser_;  // of the running request
  std::optional<Exchange> exchange_;     // the same
  std::optional<Transport::Clock::time_point> waiting_since_;
  int requests_ = 0;
  bool idle_ = true, draining_ = false;
  bool unread_ = false;  // the client may be sending what nobody will read
};

}  // namespace quire::http
