// The one table from what went wrong to what the client sees: HTTP status, OpenAI's type and code,
// Retry-After. Whoever refuses a request names the reason with one of these; nothing else in the gateway
// picks a status. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "base/http/error_body.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

template <typename T>
using ApiResult = std::variant<T, http::ApiError>;

http::ApiError BadJson(std::string message);  // 400
http::ApiError InvalidField(std::string param,
                            std::string message);  // 422; param is a path, "messages.0.role"
http::ApiError ContextExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context);  // 400
http::ApiError BadKey();                                                                        // 401
http::ApiError ModelNotAllowed();                                                               // 403
http::ApiError UnknownModel();                                                                  // 404
http::ApiError ModelLoading();                                                                  // 503
http::ApiError TooManyLargeRequests();                                                          // 503
http::ApiError FromRefusal(const v1::Refusal& refusal);
// A failure of a component or of a call to one; its message goes to the client, so it holds no client text.
http::ApiError FromStatus(const absl::Status& status);

}  // namespace quire::gateway
