// POST /v1/inference/{model}: an InferenceRequest as the pipeline takes it, with the writer that answers it.
#pragma once

#include <string>
#include <string_view>

#include "gateway/api/pipeline/door_request.h"

namespace quire::gateway {

// A ParseBodyFor.
ApiResult<DoorRequest> ParseInference(std::string_view body, const std::string& model);

}  // namespace quire::gateway
