// POST /v1/messages: a MessagesRequest as the pipeline takes it, with the writer that answers it, and
// /v1/messages/count_tokens, which counts the same request's prompt and costs nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "gateway/api/pipeline/door_request.h"
#include "gateway/api/pipeline/http_door.h"

namespace quire::gateway {

// ParseBodys.
ApiResult<DoorRequest> ParseMessages(std::string_view body);
ApiResult<DoorRequest> ParseMessagesToCount(std::string_view body);

// One for each route; each call of Handle is a coroutine on its connection's thread.
class MessagesCounter {
 public:
  // The pipeline must outlive it.
  explicit MessagesCounter(const Pipeline& pipeline) : door_(pipeline, ParseMessagesToCount) {}

  boost::asio::awaitable<void> Handle(http::Exchange& exchange) const;

 private:
  const HttpDoor door_;
};

}  // namespace quire::gateway
