#include "base/http/error_body.h"

#include "base/core/json_text.h"

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

std::string OrNull(const std::string& text) { return text.empty() ? "null" : JsonQuoted(text); }

}  // namespace

std::string ErrorBody(const ApiError& error) {
  const std::string type = error.type.empty() ? UsualType(error.status) : error.type;
  return R"({"error":{"message":)" + JsonQuoted(error.message) + R"(,"type":)" + JsonQuoted(type) +
         R"(,"param":)" + OrNull(error.param) + R"(,"code":)" + OrNull(error.code) + "}}";
}

Reply ErrorReply(const ApiError& error) {
  Reply reply{.status = error.status, .body = ErrorBody(error)};
  reply.error = error.code.empty() ? UsualType(error.status) : error.code;
  if (error.status == 401) reply.headers.emplace_back("www-authenticate", "Bearer");
  if (error.retry_after_s > 0) reply.headers.emplace_back("retry-after", std::to_string(error.retry_after_s));
  return reply;
}

}  // namespace quire::http
