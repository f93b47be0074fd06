// The body of POST /v1/inference/{model}, the hosted original's own form, wholly validated as chat_request.h
// says of its own: a text that the model goes on with as it is. Pure and fuzzed
// (tests/fuzz/completion_request_fuzz.cc): no I/O, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/http/https_url.h"
#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"

namespace quire::gateway {

struct InferenceRequest {
  SamplingRequest sampling;
  TextPrompt prompt;
  std::optional<http::HttpsUrl> webhook = {};
  bool stream = false;  // then it has one choice, and logprobs: the frames are of tokens
};

ApiResult<InferenceRequest> ParseInferenceRequest(std::string_view body, const std::string& model);

}  // namespace quire::gateway
