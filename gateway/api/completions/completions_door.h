// POST /v1/completions: a CompletionRequest as the pipeline takes it, with the writer that answers it.
#pragma once

#include <string_view>

#include "gateway/api/pipeline/door_request.h"

namespace quire::gateway {

// A ParseBody.
ApiResult<DoorRequest> ParseCompletion(std::string_view body);

}  // namespace quire::gateway
