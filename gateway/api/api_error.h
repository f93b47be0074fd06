// An error as a client of the public API sees it: one of a closed set of kinds, a sentence that says what to
// do, and the field it is about. Every refusal of the gateway becomes one of these; error_response.h is the
// only place that turns them into HTTP. Plain data, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace quire::gateway {

enum class ErrorKind {
  kBadJson,           // 400
  kContextExceeded,   // 400
  kBadRequest,        // 400
  kUnauthorized,      // 401
  kBudget,            // 402
  kForbidden,         // 403
  kUnknownModel,      // 404
  kNotFound,          // 404, no such route
  kMethodNotAllowed,  // 405
  kTooLarge,          // 413
  kUnsupportedMedia,  // 415
  kInvalidField,      // 422
  kRateLimited,       // 429
  kOverloaded,        // 503
  kInternal,          // 500
};

struct ApiError {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message = {};
  std::string param = {};      // path of the field, as "messages.0.role"; empty = none
  int retry_after_s = 0;  // 429 and 503
};

template <typename T>
using ApiResult = std::variant<T, ApiError>;

}  // namespace quire::gateway
