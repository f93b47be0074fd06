// The tools of a chat request: "tools", "tool_choice" and "parallel_tool_calls", and what a call's name may
// be. Pure; part of ParseChatRequest.
#pragma once

#include <optional>
#include <string_view>

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

inline constexpr size_t kMaxTools = 128;

ToolRules ReadTools(FieldReader& fields, std::optional<http::ApiError>& error);

// 1 to 64 of letters, digits, _ and -.
bool IsToolName(std::string_view name);
inline constexpr const char* kToolNameAdvice = "give 1 to 64 letters, digits, _ or -";

}  // namespace quire::gateway
