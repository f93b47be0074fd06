// "tools" and "tool_choice" of a Messages request. Pure; part of ParseMessagesRequest.
#pragma once

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

// `cache_control` is set where a tool has one.
ToolRules ReadMessagesTools(FieldReader& fields, bool& cache_control);

}  // namespace quire::gateway
