// The "instructions" and "input" of a Responses request as turns of a chat: a string, or items: messages,
// calls of functions, which become their answer's, and the calls' outputs. Reasoning items are no part of a
// prompt. Pure; part of ParseResponsesRequest.
#pragma once

#include <vector>

#include "gateway/api/field_reader.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

// What was read so far when something was wrong (`fields` has then failed).
std::vector<ChatTurn> ReadResponsesTurns(FieldReader& fields);

}  // namespace quire::gateway
