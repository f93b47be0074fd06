// The body of POST /v1/responses, OpenAI's Responses API without its state, wholly validated: what passes
// here can't hurt anything behind it. Unknown fields are ignored; one that would change the answer and that
// this version can't honour is refused with its path; docs/API.md has the table. Pure and fuzzed
// (tests/fuzz/responses_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <string>
#include <string_view>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"

namespace quire::gateway {

struct ResponsesRequest {
  SamplingRequest sampling;
  ChatPrompt prompt;
  bool stream = false;
  std::string echo;  // what a response says of its request: an object as JSON, of bounded length
};

ApiResult<ResponsesRequest> ParseResponsesRequest(std::string_view body);

}  // namespace quire::gateway
