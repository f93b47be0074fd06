// POST /v1/responses: a ResponsesRequest as the pipeline takes it, with the writer that answers it.
#pragma once

#include <string_view>

#include "gateway/api/pipeline/door_request.h"

namespace quire::gateway {

// A ParseBody.
ApiResult<DoorRequest> ParseResponses(std::string_view body);

}  // namespace quire::gateway
