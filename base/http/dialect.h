// How the replies of some paths say what the server itself has to say: errors, the name of the header with
// the request's id, and what fills a stream's silence. Each API whose clients we serve has its own. Immutable
// data that outlives the server; any thread.
#pragma once

#include <string_view>

#include "base/core/ids.h"
#include "base/http/error_body.h"

namespace quire::http {

struct Dialect {
  Reply (*error_reply)(const ApiError& error, const RequestId& id);
  // With the request's id, beside x-request-id; null: none.
  const char* id_header = nullptr;
  // Whole lines. No empty one follows the comment: some clients (older Go SDKs) take each for an event's end,
  // and an event without data for a broken stream. It becomes part of the next event's block.
  std::string_view keep_alive = ": keep-alive\n";
};

// Of every path that was given no other.
inline constexpr Dialect kUsualDialect{
    .error_reply = [](const ApiError& error, const RequestId& /*id*/) { return ErrorReply(error); }};

}  // namespace quire::http
