#include "gateway/api/messages/messages_tools.h"

#include <utility>

#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/messages/declared_blocks.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

json ReadInputSchema(FieldReader& fields, size_t& bytes_left) {
  if (fields.Find(kInputSchema) == nullptr) fields.Fail(kInputSchema, "give a JSON schema of an object");
  json schema = ReadToolParameters(fields, kInputSchema, bytes_left);
  const auto type = schema.find("type");
  if (type != schema.end() && *type != "object") fields.FailAt("input_schema.type", "give \"object\"");
  return schema;
}

Tool ReadTool(FieldReader& fields, size_t& bytes_left) {
  fields.Choice(kCustomType);
  Tool tool;
  tool.name = fields.String(kToolUseName).value_or("");
  if (!IsToolName(tool.name, kMaxToolUseNameBytes)) fields.Fail(kToolUseName, kToolUseNameForm);
  json function;
  function["name"] = tool.name;
  const auto description = fields.String(kToolDescription);
  if (description) function["description"] = *description;
  function["parameters"] = tool.parameters = ReadInputSchema(fields, bytes_left);
  tool.declaration["type"] = "function";
  tool.declaration["function"] = std::move(function);
  tool.strict = fields.Bool(kToolStrict);
  tool.parameters_field = "input_schema";
  return tool;
}

void ReadToolList(FieldReader& fields, bool& cache_control, ToolRules& rules) {
  const auto read = [&](FieldReader& own, size_t& bytes_left) {
    cache_control |= own.Find(kCacheControl) != nullptr;
    return ReadTool(own, bytes_left);
  };
  ReadEachTool(fields, kCustomTools, "name", read, rules);
}

void ReadUse(FieldReader& fields, ToolRules& rules) {
  std::optional<FieldReader> own = fields.Object(kUseChoice);
  if (!own) return;
  const std::string type = own->Choice(kUse).value_or("");
  rules.parallel = !own->Bool(kOneUse).value_or(false);
  if (type == "none") {
    rules.use = ToolUse::kNone;
  } else if (type == "any" || type == "tool") {
    rules.use = ToolUse::kRequired;
    if (rules.tools.empty()) own->Fail(kUse, "give tools, or another choice");
  }
  if (type == "tool") ReadOnlyTool(*own, kUsedName, rules);
}

}  // namespace

ToolRules ReadMessagesTools(FieldReader& fields, bool& cache_control) {
  ToolRules rules;
  ReadToolList(fields, cache_control, rules);
  ReadUse(fields, rules);
  return rules;
}

}  // namespace quire::gateway
