// Chat over gRPC: its messages to and from what the pipeline takes. A ChatRequest is read as the HTTP API's
// body with the same fields, so both doors have one validation. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "gateway/api/pipeline/door_request.h"
#include "proto/chat.pb.h"

namespace quire::gateway {

// The body of POST /v1/chat/completions that says the same; refused where a field that is JSON isn't.
ApiResult<nlohmann::ordered_json> BodyOf(const v1::ChatRequest& request);

// ParseBody of serialized ChatRequests: for a whole ChatAnswer, and for ChatChunks.
ApiResult<DoorRequest> ParseWholeChatMessage(std::string_view bytes);
ApiResult<DoorRequest> ParseStreamedChatMessage(std::string_view bytes);

}  // namespace quire::gateway
