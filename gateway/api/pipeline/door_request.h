// What a door's parser makes of a request's body: all that the pipeline needs to answer it. Plain data, moved
// between threads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http/https_url.h"
#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/answer_writer.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/api/pipeline/sampling_request.h"

namespace quire::gateway {

struct DoorRequest {
  SamplingRequest sampling;
  Prompt prompt;
  bool stream = false;
  bool repeats = false;  // a stream that ends with the whole answer, which is kept for it
  MakeWriter make_writer;
  // Each is answered beside the first, in the same way; its choices follow those of the prompt before it.
  std::vector<Prompt> more_prompts = {};
  // Where a whole answer goes in place of the reply.
  std::optional<http::HttpsUrl> webhook = {};
};

// Of one request, all together.
inline constexpr size_t kMaxPrompts = 32;

// Pure; any thread. The body is validated wholly: what passes can't hurt anything behind it.
using ParseBody = ApiResult<DoorRequest> (*)(std::string_view body);
// The same, of a door whose path says the model.
using ParseBodyFor = ApiResult<DoorRequest> (*)(std::string_view body, const std::string& model);

}  // namespace quire::gateway
