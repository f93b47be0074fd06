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
// 400: a schema, an expression or a grammar that answers can't be held to; the path says which keyword.
http::ApiError UnusableGrammar(std::string param, const std::string& why);
// `param`, `max_tokens_param`: the fields that the prompt and the limit came in.
http::ApiError ContextExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context,
                               const std::string& param, const char* max_tokens_param);  // 400
// The same where nobody has counted the prompt to its end.
http::ApiError PromptTooLong(uint64_t context, const std::string& param);
// 400: this model's chat template has no place for what is at `param`.
http::ApiError ToolsNotTaken(std::string param);
http::ApiError BadKey();  // 401
// 404; also for a model that the key may not use: nobody learns what others have.
http::ApiError UnknownModel();
http::ApiError ModelLoading();  // 503
// 503: its text files could not be loaded; why is the operator's to know.
http::ApiError ModelBroken();
http::ApiError TooManyLargeRequests();  // 503
http::ApiError TooManyUnadmitted();     // 429
http::ApiError TooManyBytesHeld();
// Requests whose answer goes to a webhook, of an account or of all.
http::ApiError TooManyJobs();
// A key whose requests are sent and left at once, again and again.
http::ApiError TooManyAbandoned();
// The ledger has not yet acknowledged what was served.
http::ApiError LedgerBehind();   // 503
http::ApiError InternalError();  // 500
http::ApiError ClientLeft();     // for whom nobody reads it
http::ApiError FromRefusal(const v1::Refusal& refusal);
// A failure of a component or of a call to one; its message goes to the client, so it holds no client text.
http::ApiError FromStatus(const absl::Status& status);

}  // namespace quire::gateway
