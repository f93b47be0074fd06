// The tools of a chat request: "tools", "tool_choice" and "parallel_tool_calls", and what a call's name may
// be. Pure; part of ParseChatRequest.
#pragma once

#include <optional>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

inline constexpr size_t kMaxTools = 128;
inline constexpr size_t kMaxToolDescriptionBytes = 64 << 10;
inline constexpr size_t kMaxAllParametersBytes = 1 << 20;  // of a request's tools, as JSON

// The schema of a tool's arguments, by its field's name; {} where there is none. `bytes_left`, of all tools
// together, shrinks by it.
nlohmann::ordered_json ReadToolParameters(FieldReader& fields, const char* name, size_t& bytes_left);

// Each of a request's "tools" as an API has them, by `read`: so many at most, and no two of one name.
// `shape`: what is said where one is no object.
void ReadEachTool(FieldReader& fields, std::optional<http::ApiError>& error, const char* shape,
                  absl::FunctionRef<Tool(FieldReader& tool, size_t& bytes_left)> read, ToolRules& rules);

ToolRules ReadTools(FieldReader& fields, std::optional<http::ApiError>& error);

// 1 to 64 of letters, digits, _ and -; other APIs take longer ones.
bool IsToolName(std::string_view name, size_t most_bytes = 64);
inline constexpr const char* kToolNameAdvice = "give 1 to 64 letters, digits, _ or -";

}  // namespace quire::gateway
