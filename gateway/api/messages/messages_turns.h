// The conversation of a Messages request, block by block, as turns of a chat: text is joined, an answer's
// calls of tools become its turn's, each result a turn of its own in the order of the calls (templates don't
// name them), messages of one role that follow one another one turn. Pure; part of ParseMessagesRequest.
#pragma once

#include <vector>

#include "gateway/api/field_reader.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

// kSystem and kSpokenMessages; what was read so far when something was wrong (`fields` has then failed).
// `cache_control` is set where a block has one.
std::vector<ChatTurn> ReadMessagesTurns(FieldReader& fields, bool& cache_control);

}  // namespace quire::gateway
