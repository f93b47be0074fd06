// Tools for a model whose chat template takes none: they are told in the system message, and calls and
// results are messages' text, in Hermes' form (tool_form.h). All that a client says stays text of its own
// message. Part of TextModel. Pure; any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

#include "gateway/text/chat_turn.h"

namespace quire::gateway {

class ChatTemplate;

// Whether there are tools, or calls or results of them.
bool HasTools(std::span<const ChatTurn> turns, const nlohmann::ordered_json& tools);

// The same conversation without any, in words. `tools`: a list of declarations, or null.
std::vector<ChatTurn> TellTools(std::span<const ChatTurn> turns, const nlohmann::ordered_json& tools);

// Whether the template has a place for all that TellTools makes: some take no system message.
bool CanTellTools(const ChatTemplate& chat_template);

}  // namespace quire::gateway
