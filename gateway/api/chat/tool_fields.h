// The tools of a chat request: "tools", "tool_choice" and "parallel_tool_calls", and what a call's name may
// be. Pure; part of ParseChatRequest.
#pragma once

#include <string_view>

#include "absl/functional/function_ref.h"
#include "gateway/api/chat/declared_tools.h"
#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

inline constexpr size_t kMaxAllParametersBytes = 1 << 20;  // of a request's tools, as JSON

// The schema of a tool's arguments; {} where there is none. `bytes_left`, of all tools together, shrinks by
// it.
nlohmann::ordered_json ReadToolParameters(FieldReader& fields, const ShapeField& field, size_t& bytes_left);

// Each of a request's tools as an API has them, by `read`, and no two of one name, which is at `name_path` in
// a tool.
void ReadEachTool(FieldReader& fields, const ListField& field, const char* name_path,
                  absl::FunctionRef<Tool(FieldReader& tool, size_t& bytes_left)> read, ToolRules& rules);

// "tool_choice" as OpenAI's APIs have it: a word, or an object, which `read_named` reads. Behind the tools.
void ReadToolChoice(FieldReader& fields, const ChoiceField& field,
                    absl::FunctionRef<void(FieldReader& named, ToolRules& rules)> read_named,
                    ToolRules& rules);
// The one tool that is to be called, by its name.
void ReadOnlyTool(FieldReader& fields, const StringField& name, ToolRules& rules);

ToolRules ReadTools(FieldReader& fields);

// What kToolNamePattern says; other APIs take longer ones.
bool IsToolName(std::string_view name, size_t most_bytes = 64);

}  // namespace quire::gateway
