// The body of POST /v1/completions, wholly validated, as chat_request.h says of its own: a text or token ids,
// or a list of either, that the model goes on with as they are. Pure and fuzzed
// (tests/fuzz/completion_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <string_view>
#include <vector>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"
#include "gateway/api/pipeline/stream_fields.h"

namespace quire::gateway {

struct CompletionRequest {
  SamplingRequest sampling;
  std::vector<Prompt> prompts;  // 1 to kMaxPrompts; texts or ids
  StreamWish stream = {};
  bool echo = false;  // the prompt's text before the answer's, with its scores where there are logprobs
  bool tokens_as_ids = false;  // "token_id:5" in place of its text, in logprobs
};

// With echo, of all prompts that are ids together: they may be many times as long as text.
inline constexpr size_t kMaxEchoedIds = 1 << 16;

ApiResult<CompletionRequest> ParseCompletionRequest(std::string_view body);

}  // namespace quire::gateway
