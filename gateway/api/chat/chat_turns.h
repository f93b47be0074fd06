// The "messages" of a chat request: roles, and contents as a string or as text parts; calls of tools are
// turn_calls.h's. Pure; part of ParseChatRequest.
#pragma once

#include <optional>
#include <vector>

#include "gateway/api/chat/chat_request.h"
#include "gateway/api/field_reader.h"

namespace quire::gateway {

// Empty when something was wrong (`error` is then set). `developer` becomes `system`; parts are joined; the
// results of an answer's calls are in the order of the calls, however they came.
std::vector<ChatTurn> ReadTurns(FieldReader& fields, std::optional<http::ApiError>& error);

}  // namespace quire::gateway
