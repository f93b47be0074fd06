// "tools" and "tool_choice" of a Messages request. Pure; part of ParseMessagesRequest.
#pragma once

#include <optional>

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

inline constexpr size_t kMaxToolUseNameBytes = 128;
inline constexpr const char* kToolUseNameForm = "give 1 to 128 letters, digits, _ or -";

// `cache_control` is set where a tool has one.
ToolRules ReadMessagesTools(FieldReader& fields, std::optional<http::ApiError>& error, bool& cache_control);

}  // namespace quire::gateway
