#include "base/http/request_record.h"

#include "base/core/log.h"

namespace quire::http {

void LogRequest(const RequestRecord& record) {
  Log(LogLevel::kInfo, "request", "request_id", record.request_id, "method", record.method, "route",
      record.route, "status", record.status, "key_id", record.key_id, "account", record.account, "model",
      record.model, "prompt_tokens", record.prompt_tokens, "cached_tokens", record.cached_tokens,
      "completion_tokens", record.completion_tokens, "cost_nano_usd", record.cost_nano_usd, "first_token_ms",
      record.first_token_ms, "total_ms", record.total_ms, "finish", record.finish, "error", record.error);
}

}  // namespace quire::http
