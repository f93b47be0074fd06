// The body of POST /v1/messages, Anthropic's API, wholly validated: what passes here can't hurt anything
// behind it. Unknown fields are ignored; one that would change the answer and that this version can't honour
// is refused with its path; docs/API.md has the table. The fields of sampling that Anthropic's API lacks have
// the names of chat completions. Pure and fuzzed (tests/fuzz/messages_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <string_view>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"

namespace quire::gateway {

struct MessagesRequest {
  SamplingRequest sampling;
  ChatPrompt prompt;
  bool stream = false;
  bool tells_cached = false;  // "cache_control" stands somewhere: what was cached is told apart in the usage
  bool omits_thinking = false;  // from the answer; it is made and counted
};

// To be answered, or only to be counted: then there need be no max_tokens.
enum class MessagesUse { kAnswer, kCount };

ApiResult<MessagesRequest> ParseMessagesRequest(std::string_view body, MessagesUse use);

}  // namespace quire::gateway
