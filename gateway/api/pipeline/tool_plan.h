// What a chat's tools are to its plan: told to the chat template, and refused where it has no place for them.
// Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "gateway/api/error_response.h"
#include "gateway/api/pipeline/prompt.h"
#include "gateway/generation/tool_call_split.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {

// A template that takes no tools would leave them out of the prompt, and calls and results of earlier turns;
// one that takes a call at a time has no words for an answer of several.
std::optional<http::ApiError> CheckToolsTaken(const ChatPrompt& prompt, const TextModel& text);

// As TextModel::RenderChat takes them.
nlohmann::ordered_json ToolDeclarations(const ToolRules& rules);

// How calls are told from text in the answer.
CallRules CallRulesOf(const Prompt& prompt, const TextModel& text);

}  // namespace quire::gateway
