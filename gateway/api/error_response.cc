#include "gateway/api/error_response.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway {
namespace {

constexpr int kDefaultRetryAfterS = 1;

// The rows of the table: how a reason of the coordinator is told to a client.
struct RefusalRow {
  int status;
  const char* code;
  const char* message;  // where the coordinator gave none
  bool retry = false;
};

RefusalRow RowOf(v1::RefusalReason reason) {
  switch (reason) {
    case v1::REFUSAL_KEY:
      return {401, "invalid_api_key", "this API key is unknown or was revoked: use another one"};
    case v1::REFUSAL_BUDGET:
      return {402, "insufficient_quota", "the balance or the spend cap is used up: raise it, then try again"};
    case v1::REFUSAL_RATE:
      return {429, "rate_limit_exceeded", "too many requests at once: retry later", true};
    case v1::REFUSAL_QUEUE_FULL:
      return {429, "model_busy", "the model is busy: retry later", true};
    case v1::REFUSAL_NO_CAPACITY:
      return {503, "no_capacity", "no worker group can take the request now: retry later", true};
    case v1::REFUSAL_TOO_LARGE:
      return {400, "context_length_exceeded",
              "the request fits no worker group: shorten it or lower max_tokens"};
    case v1::REFUSAL_LEDGER:
      return {503, "ledger_unavailable", "the ledger can't record the request now: retry later", true};
    case v1::REFUSAL_CLOSED:
      return {503, "request_closed", "the ledger closed the request meanwhile: send it again", true};
    case v1::REFUSAL_OUTDATED:
      return {503, "model_changed", "the model's text files have just changed: send the request again", true};
    default:
      return {500, "internal_error", "the coordinator refused the request without a reason"};
  }
}

}  // namespace

http::ApiError BadJson(std::string message) {
  return {.status = 400, .message = std::move(message), .code = "invalid_json"};
}

http::ApiError InvalidField(std::string param, std::string message) {
  return {.status = 422, .message = std::move(message), .param = std::move(param), .code = "invalid_value"};
}

http::ApiError ToolsNotTaken(std::string param) {
  std::string message = absl::StrCat(
      param, ": this model's chat template has no place for tools: leave them out, or take another model");
  return {
      .status = 400, .message = std::move(message), .param = std::move(param), .code = "tools_not_supported"};
}

http::ApiError UnusableGrammar(std::string param, const std::string& why) {
  constexpr size_t kMaxPathBytes = 512;  // it holds names that the client chose
  if (param.size() > kMaxPathBytes) {
    size_t end = kMaxPathBytes;
    while (end > 0 && (static_cast<unsigned char>(param[end]) & 0xC0) == 0x80) --end;
    param.resize(end);
  }
  std::string message = absl::StrCat(param, ": ", why);
  return {.status = 400, .message = std::move(message), .param = std::move(param), .code = "invalid_schema"};
}

// Clients that shorten a conversation by themselves know these words, not the code (litellm is one).
constexpr char kContextLength[] = "this model's maximum context length is ";

http::ApiError ContextExceeded(uint64_t prompt_tokens, uint64_t max_tokens, uint64_t context,
                               const std::string& param, const char* max_tokens_param) {
  return {.status = 400,
          .message = absl::StrCat(kContextLength, context, " tokens, but the prompt has ", prompt_tokens,
                                  " and ", max_tokens_param, " asks for ", max_tokens, " more: shorten the ",
                                  param, " or lower ", max_tokens_param),
          .param = param,
          .code = "context_length_exceeded"};
}

http::ApiError PromptTooLong(uint64_t context, const std::string& param) {
  return {.status = 400,
          .message = absl::StrCat(kContextLength, context,
                                  " tokens, and the prompt alone has more: shorten the ", param),
          .param = param,
          .code = "context_length_exceeded"};
}

http::ApiError BadKey() {
  return {
      .status = 401,
      .message =
          "give a valid API key, as \"Authorization: Bearer sk-quire-...\" or \"x-api-key: sk-quire-...\"",
      .code = "invalid_api_key"};
}

http::ApiError UnknownModel() {
  return {.status = 404,
          .message = "no such model: GET /v1/models lists them",
          .param = "model",
          .code = "model_not_found"};
}

http::ApiError ModelLoading() {
  return {.status = 503,
          .message = "the model's text files are being loaded: retry in a moment",
          .code = "model_loading",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError ModelBroken() {
  return {.status = 503,
          .message = "the model can't be served at the moment: use another one, or ask the operator",
          .code = "model_unavailable",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError TooManyLargeRequests() {
  return {.status = 503,
          .message = "too many long prompts are being read: retry in a moment",
          .code = "no_capacity",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError TooManyUnadmitted() {
  return {
      .status = 429,
      .message = "too many requests of this key, or of its account, are still being read: retry in a moment",
      .code = "rate_limit_exceeded",
      .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError TooManyJobs() {
  return {.status = 429,
          .message =
              "too many requests of this account, or of all, that call a webhook are under way, or too many "
              "failed: retry in a moment",
          .code = "rate_limit_exceeded",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError TooManyBytesHeld() {
  return {.status = 503,
          .message = "the requests that are being read fill the memory for them: retry in a moment",
          .code = "no_capacity",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError TooManyAbandoned() {
  return {.status = 429,
          .message = "too many requests of this key were left before their answer began: retry in a moment",
          .code = "rate_limit_exceeded",
          .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError LedgerBehind() {
  const RefusalRow row = RowOf(v1::REFUSAL_LEDGER);
  return {
      .status = row.status, .message = row.message, .code = row.code, .retry_after_s = kDefaultRetryAfterS};
}

http::ApiError InternalError() {
  return {
      .status = 500,
      .message = "the server failed on this request; if it does so again, tell the operator its x-request-id",
      .code = "internal_error"};
}

http::ApiError ClientLeft() { return {.status = 503, .message = "the client left"}; }

http::ApiError FromRefusal(const v1::Refusal& refusal) {
  if (refusal.reason() == v1::REFUSAL_SCOPE || refusal.reason() == v1::REFUSAL_MODEL) return UnknownModel();
  const RefusalRow row = RowOf(refusal.reason());
  http::ApiError error{.status = row.status,
                       .message = refusal.message().empty() ? row.message : refusal.message(),
                       .code = row.code};
  if (row.retry) error.retry_after_s = std::max<int>(refusal.retry_after_s(), kDefaultRetryAfterS);
  return error;
}

http::ApiError FromStatus(const absl::Status& status) {
  http::ApiError error{.message = MessageOf(status)};
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      error.status = 400;
      error.code = "invalid_request";
      break;
    case absl::StatusCode::kResourceExhausted:
      error.status = 429;
      error.code = "model_busy";
      break;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      error.status = 503;
      error.code = "service_unavailable";
      break;
    default:
      error.status = 500;
      error.code = "internal_error";
  }
  if (error.status == 429 || error.status == 503) error.retry_after_s = kDefaultRetryAfterS;
  return error;
}

}  // namespace quire::gateway
