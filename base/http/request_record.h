// What is known of one request when it has ended: its line in the log. The server fills in what HTTP knows,
// the handler the rest. Plain data of ids and counts: never a text, a prompt or a key's secret.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace quire::http {

// Nobody answered: the client had left (nginx's number for it).
inline constexpr int kStatusClientGone = 499;

struct RequestRecord {
  // The server's.
  std::string request_id, method, route;
  int status = 0;
  double first_token_ms = 0;  // from the request's head to the first token; 0 = there was none
  double total_ms = 0;
  std::string error;  // the code of a refusal, or why the reply ended early; empty = none

  // The handler's, as far as it got.
  std::string key_id, account, model, finish;
  uint64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  int64_t cost_nano_usd = 0;
};

using RequestSink = std::function<void(const RequestRecord&)>;

// The usual sink: one line of the log.
void LogRequest(const RequestRecord& record);

}  // namespace quire::http
