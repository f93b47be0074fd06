#include "gateway/api/messages/messages_tools.h"

#include <algorithm>
#include <utility>

#include "gateway/api/chat/tool_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// Those that Anthropic's servers run have types of their own.
void CheckToolType(FieldReader& fields) {
  if (fields.String("type", 64).value_or("custom") != "custom") {
    fields.Unsupported("type", "give tools that the client runs: of type \"custom\", or without one");
  }
}

json ReadInputSchema(FieldReader& fields, size_t& bytes_left) {
  if (fields.Find("input_schema") == nullptr) fields.Fail("input_schema", "give a JSON schema of an object");
  json schema = ReadToolParameters(fields, "input_schema", bytes_left);
  const auto type = schema.find("type");
  if (type != schema.end() && *type != "object") fields.Fail("input_schema.type", "give \"object\"");
  return schema;
}

Tool ReadTool(FieldReader& fields, size_t& bytes_left) {
  CheckToolType(fields);
  Tool tool;
  tool.name = fields.String("name", kMaxToolUseNameBytes).value_or("");
  if (!IsToolName(tool.name, kMaxToolUseNameBytes)) fields.Fail("name", kToolUseNameForm);
  json function;
  function["name"] = tool.name;
  const auto description = fields.String("description", kMaxToolDescriptionBytes);
  if (description) function["description"] = *description;
  function["parameters"] = tool.parameters = ReadInputSchema(fields, bytes_left);
  tool.declaration["type"] = "function";
  tool.declaration["function"] = std::move(function);
  tool.strict = fields.Bool("strict");
  tool.parameters_field = "input_schema";
  return tool;
}

void ReadToolList(FieldReader& fields, std::optional<http::ApiError>& error, bool& cache_control,
                  ToolRules& rules) {
  const auto read = [&](FieldReader& own, size_t& bytes_left) {
    cache_control |= own.Find("cache_control") != nullptr;
    return ReadTool(own, bytes_left);
  };
  ReadEachTool(fields, error, "give an object with name and input_schema", read, rules);
}

void ReadToolChoice(FieldReader& fields, std::optional<http::ApiError>& error, ToolRules& rules) {
  const json* choice = fields.Find("tool_choice");
  if (choice == nullptr) return;
  if (!choice->is_object()) return fields.Fail("tool_choice", "give an object, as {\"type\": \"auto\"}");
  FieldReader own(*choice, "tool_choice.", error);
  const std::string type = own.String("type", 64).value_or("");
  rules.parallel = !own.Bool("disable_parallel_tool_use").value_or(false);
  if (type == "none") {
    rules.use = ToolUse::kNone;
  } else if (type == "any" || type == "tool") {
    rules.use = ToolUse::kRequired;
    if (rules.tools.empty()) own.Fail("type", "give tools, or another choice");
  } else if (type != "auto") {
    own.Fail("type", "give auto, any, tool or none");
  }
  if (type != "tool") return;
  rules.only = own.String("name", kMaxToolUseNameBytes).value_or("");
  const auto is_it = [&](const Tool& tool) { return tool.name == rules.only; };
  if (std::none_of(rules.tools.begin(), rules.tools.end(), is_it)) own.Fail("name", "no tool has this name");
}

}  // namespace

ToolRules ReadMessagesTools(FieldReader& fields, std::optional<http::ApiError>& error, bool& cache_control) {
  ToolRules rules;
  ReadToolList(fields, error, cache_control, rules);
  ReadToolChoice(fields, error, rules);
  return rules;
}

}  // namespace quire::gateway
