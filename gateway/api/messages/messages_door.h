// POST /v1/messages: a MessagesRequest as the pipeline takes it, with the writer that answers it, and
// /v1/messages/count_tokens, which counts the same request's prompt and costs nothing.
#pragma once

#include <string_view>

#include "gateway/api/pipeline/door_request.h"
#include "gateway/api/pipeline/question.h"

namespace quire::gateway {

// A ParseBody.
ApiResult<DoorRequest> ParseMessages(std::string_view body);
// A ParseQuestion. A prompt that doesn't fit the model's context is counted too, but for one that is so long
// that its encoding is given up.
ApiResult<Question> ParseMessagesToCount(std::string_view body);

}  // namespace quire::gateway
