// What a door's parser makes of a request's body: all that the pipeline needs to answer it. Plain data, moved
// between threads.
#pragma once

#include <string_view>

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
};

// Pure; any thread. The body is validated wholly: what passes can't hurt anything behind it.
using ParseBody = ApiResult<DoorRequest> (*)(std::string_view body);

}  // namespace quire::gateway
