// The fields of a chat request that say whether the model reasons, for how long, and whether its reasoning is
// told: OpenAI's, and those of other servers for the same. Pure; part of ReadChatRequest.
#pragma once

#include "gateway/api/chat/chat_request.h"
#include "gateway/api/field_reader.h"

namespace quire::gateway {

// kReasoningWishFields.
void ReadReasoning(FieldReader& fields, ChatRequest& request);

}  // namespace quire::gateway
