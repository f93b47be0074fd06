#include "gateway/api/chat/tool_fields.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxParametersBytes = 256 << 10;  // as JSON

// What templates are told of a tool: these, in the order that the client has them in, and nothing that is for
// the server.
json DeclarationOf(const json& function) {
  json told = json::object();
  for (const auto& [name, value] : function.items()) {
    if ((name == "name" || name == "description" || name == "parameters") && !value.is_null()) {
      told[name] = value;
    }
  }
  return json{{"type", "function"}, {"function", std::move(told)}};
}

Tool ReadChatTool(FieldReader& fields, size_t& bytes_left) {
  Tool tool;
  fields.Choice(kToolType);
  std::optional<FieldReader> own = fields.Object(kToolFunction);
  if (!own) return tool;
  tool.name = own->String(kToolName).value_or("");
  if (!IsToolName(tool.name)) own->Fail(kToolName, kToolNameAdvice);
  own->String(kToolDescription);
  tool.parameters = ReadToolParameters(*own, kToolParameters, bytes_left);
  tool.strict = own->Bool(kToolStrict);
  tool.declaration = DeclarationOf(own->object());
  return tool;
}

void ReadNamedChoice(FieldReader& own, ToolRules& rules) {
  own.Choice(kChosenType);
  std::optional<FieldReader> named = own.Object(kChosenFunction);
  if (named) ReadOnlyTool(*named, kChosenName, rules);
}

}  // namespace

bool IsToolName(std::string_view name, size_t most_bytes) {
  return !name.empty() && name.size() <= most_bytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

json ReadToolParameters(FieldReader& fields, const ShapeField& field, size_t& bytes_left) {
  const json* parameters = fields.Find(field);
  if (parameters == nullptr) return json::object();
  if (!parameters->is_object()) {
    fields.Fail(field, "give an object");
    return json::object();
  }
  const size_t bytes = parameters->dump().size();
  if (bytes > kMaxParametersBytes) {
    fields.Fail(field, absl::StrCat("give at most ", kMaxParametersBytes, " bytes"));
  } else if (bytes > bytes_left) {
    fields.Fail(field, absl::StrCat("all tools together have at most ", kMaxAllParametersBytes, " bytes"));
  } else {
    bytes_left -= bytes;
    return *parameters;
  }
  return json::object();
}

void ReadEachTool(FieldReader& fields, const ListField& field, const char* name_path,
                  absl::FunctionRef<Tool(FieldReader& tool, size_t& bytes_left)> read, ToolRules& rules) {
  const json* tools = fields.List(field);
  if (tools == nullptr) return;
  absl::flat_hash_set<std::string> names;
  size_t bytes_left = kMaxAllParametersBytes;
  fields.ForEach(field, *tools, [&](FieldReader& own, size_t) {
    Tool tool = read(own, bytes_left);
    if (own.failed()) return;
    if (!names.insert(tool.name).second) own.FailAt(name_path, "another tool has this name");
    rules.tools.push_back(std::move(tool));
  });
}

void ReadToolChoice(FieldReader& fields, const ChoiceField& field,
                    absl::FunctionRef<void(FieldReader& named, ToolRules& rules)> read_named,
                    ToolRules& rules) {
  const json* choice = fields.Find(field);
  if (choice == nullptr) return;
  const std::string word = choice->is_object() ? "" : fields.Choice(field).value_or("");
  if (word == "none") rules.use = ToolUse::kNone;
  if (word == "none" || word == "auto" || fields.failed()) return;
  if (rules.tools.empty()) {
    return fields.Fail(field, "there are no tools to choose from: give \"tools\", or leave it out");
  }
  rules.use = ToolUse::kRequired;
  if (!choice->is_object()) return;
  FieldReader named = fields.Inside(field, *choice, *field.or_object);
  read_named(named, rules);
}

void ReadOnlyTool(FieldReader& fields, const StringField& name, ToolRules& rules) {
  rules.only = fields.String(name).value_or("");
  const auto is_it = [&](const Tool& tool) { return tool.name == rules.only; };
  if (std::none_of(rules.tools.begin(), rules.tools.end(), is_it)) {
    fields.Fail(name, "no tool of \"tools\" has this name");
  }
}

ToolRules ReadTools(FieldReader& fields) {
  ToolRules rules;
  ReadEachTool(fields, kTools, "function.name", ReadChatTool, rules);
  ReadToolChoice(fields, kToolChoice, ReadNamedChoice, rules);
  rules.parallel = fields.Bool(kParallelToolCalls).value_or(true);
  return rules;
}

}  // namespace quire::gateway
