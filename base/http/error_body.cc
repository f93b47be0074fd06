#include "base/http/error_body.h"

#include <nlohmann/json.hpp>

namespace quire::http {
namespace {

const char* UsualType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "insufficient_quota";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

nlohmann::ordered_json OrNull(const std::string& text) {
  if (text.empty()) return nullptr;
  return text;
}

}  // namespace

std::string ErrorBody(const ApiError& error) {
  nlohmann::ordered_json fields;
  fields["message"] = error.message;
  fields["type"] = error.type.empty() ? UsualType(error.status) : error.type;
  fields["param"] = OrNull(error.param);
  fields["code"] = OrNull(error.code);
  nlohmann::ordered_json body;
  body["error"] = std::move(fields);
  // A message may quote a client's bytes: whatever is no UTF-8 is replaced, never thrown over.
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Reply ErrorReply(const ApiError& error) {
  Reply reply{.status = error.status, .body = ErrorBody(error)};
  if (error.retry_after_s > 0) reply.headers.emplace_back("retry-after", std::to_string(error.retry_after_s));
  return reply;
}

}  // namespace quire::http
