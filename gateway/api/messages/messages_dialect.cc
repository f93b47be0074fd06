#include "gateway/api/messages/messages_dialect.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"

namespace quire::gateway {
namespace {

const char* TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "billing_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

// Its API says 400 of a field, too.
http::Reply MessagesErrorReply(const http::ApiError& error, const RequestId& id) {
  http::Reply reply = http::ErrorReply(error);
  if (reply.status == 422) reply.status = 400;
  reply.body = MessagesErrorBody(error, id);
  return reply;
}

}  // namespace

std::string MessagesErrorBody(const http::ApiError& error, const RequestId& id) {
  return absl::StrCat(R"({"type":"error","error":{"type":")", TypeOf(error.status), R"(","message":)",
                      JsonQuoted(error.message), R"(},"request_id":")", id.ToHex(), "\"}");
}

constexpr http::Dialect kMessagesDialect{.error_reply = MessagesErrorReply,
                                         .id_header = "request-id",
                                         .keep_alive = "event: ping\ndata: {\"type\":\"ping\"}\n\n"};

}  // namespace quire::gateway
