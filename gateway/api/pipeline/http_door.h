// A door of the HTTP API: reads the request's body within its bounds, hands it and the door's parser to the
// pipeline, and answers over the exchange, a question (question.h) at once. One for each route, shared by all
// connections; each call of Handle is a coroutine on its connection's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <variant>

#include "base/http/exchange.h"
#include "gateway/api/pipeline/pipeline.h"

namespace quire::gateway {

class HttpDoor {
 public:
  // The pipeline must outlive it.
  HttpDoor(const Pipeline& pipeline, ParseBody parse) : pipeline_(pipeline), parse_(parse) {}
  // Its route's star is the model's name.
  HttpDoor(const Pipeline& pipeline, ParseBodyFor parse) : pipeline_(pipeline), parse_(parse) {}
  HttpDoor(const Pipeline& pipeline, ParseQuestion parse) : pipeline_(pipeline), parse_(parse) {}

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;

  // From the head to the plan, for who answers otherwise. Where the client left or was answered, the error is
  // nobody's.
  boost::asio::awaitable<ApiResult<Prepared>> Prepare(http::Exchange& exchange) const;
  // What Handle does from there on.
  boost::asio::awaitable<void> Answer(http::Exchange& exchange, Prepared request) const;

 private:
  struct Received {
    Newcomer newcomer;
    std::string body;
  };

  // Answers what a model's text says alone.
  boost::asio::awaitable<void> Tell(http::Exchange& exchange, ParseQuestion parse) const;
  // From the head to the body's end.
  boost::asio::awaitable<ApiResult<Received>> Receive(http::Exchange& exchange) const;
  boost::asio::awaitable<ApiResult<std::string>> ReadBody(http::Exchange& exchange,
                                                          const Newcomer& newcomer) const;
  boost::asio::awaitable<ApiResult<std::string>> Inflate(http::Exchange& exchange, const Newcomer& newcomer,
                                                         std::string compressed) const;

  const Pipeline& pipeline_;
  const std::variant<ParseBody, ParseBodyFor, ParseQuestion> parse_;
};

}  // namespace quire::gateway
