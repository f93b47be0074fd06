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

const json* FindObject(FieldReader& fields, const char* name) {
  const json* value = fields.Find(name);
  if (value != nullptr && value->is_object()) return value;
  fields.Fail(name, "give an object");
  return nullptr;
}

void ReadName(FieldReader& fields, absl::flat_hash_set<std::string>& names, Tool& tool) {
  tool.name = fields.String("name", 64).value_or("");
  if (!IsToolName(tool.name)) return fields.Fail("name", kToolNameAdvice);
  if (!names.insert(tool.name).second) fields.Fail("name", "another tool has this name");
}

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

class ToolReader {
 public:
  explicit ToolReader(std::optional<http::ApiError>& error) : error_(error) {}

  void Read(const json& value, const std::string& path, ToolRules& rules) {
    FieldReader fields(value, path + ".", error_);
    if (fields.String("type", 64).value_or("function") != "function") {
      return fields.Fail("type", "only tools of the type \"function\" are known");
    }
    const json* function = FindObject(fields, "function");
    if (function == nullptr) return;
    FieldReader own(*function, path + ".function.", error_);
    Tool tool;
    ReadName(own, names_, tool);
    own.String("description", kMaxToolDescriptionBytes);
    tool.parameters = ReadToolParameters(own, "parameters", bytes_left_);
    tool.strict = own.Bool("strict");
    if (own.failed()) return;
    tool.declaration = DeclarationOf(*function);
    rules.tools.push_back(std::move(tool));
  }

 private:
  std::optional<http::ApiError>& error_;
  absl::flat_hash_set<std::string> names_;
  size_t bytes_left_ = kMaxAllParametersBytes;
};

void ReadNamedChoice(const json& choice, std::optional<http::ApiError>& error, ToolRules& rules) {
  FieldReader own(choice, "tool_choice.", error);
  if (own.String("type", 64).value_or("") != "function") {
    return own.Fail("type", "give \"function\" with a name, or \"none\", \"auto\" or \"required\" alone");
  }
  const json* function = FindObject(own, "function");
  if (function == nullptr) return;
  FieldReader named(*function, "tool_choice.function.", error);
  rules.use = ToolUse::kRequired;
  rules.only = named.String("name", 64).value_or("");
  const bool known = std::any_of(rules.tools.begin(), rules.tools.end(),
                                 [&](const Tool& tool) { return tool.name == rules.only; });
  if (!known) named.Fail("name", "no tool of \"tools\" has this name");
}

void ReadChoice(FieldReader& fields, std::optional<http::ApiError>& error, ToolRules& rules) {
  const json* choice = fields.Find("tool_choice");
  if (choice == nullptr) return;
  if (*choice == "none") {
    rules.use = ToolUse::kNone;
  } else if (*choice == "auto") {
    rules.use = ToolUse::kAuto;
  } else if (*choice != "required" && !choice->is_object()) {
    fields.Fail("tool_choice", "give \"none\", \"auto\", \"required\" or a named function");
  } else if (rules.tools.empty()) {
    fields.Fail("tool_choice", "there are no tools to choose from: give \"tools\", or leave it out");
  } else if (choice->is_object()) {
    ReadNamedChoice(*choice, error, rules);
  } else {
    rules.use = ToolUse::kRequired;
  }
}

}  // namespace

bool IsToolName(std::string_view name, size_t most_bytes) {
  return !name.empty() && name.size() <= most_bytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

json ReadToolParameters(FieldReader& fields, const char* name, size_t& bytes_left) {
  if (fields.Find(name) == nullptr) return json::object();
  const json* parameters = FindObject(fields, name);
  if (parameters == nullptr) return json::object();
  const size_t bytes = parameters->dump().size();
  if (bytes > kMaxParametersBytes) {
    fields.Fail(name, absl::StrCat("give at most ", kMaxParametersBytes, " bytes"));
  } else if (bytes > bytes_left) {
    fields.Fail(name, absl::StrCat("all tools together have at most ", kMaxAllParametersBytes, " bytes"));
  } else {
    bytes_left -= bytes;
    return *parameters;
  }
  return json::object();
}

void ReadEachTool(FieldReader& fields, std::optional<http::ApiError>& error, const char* shape,
                  absl::FunctionRef<Tool(FieldReader& tool, size_t& bytes_left)> read, ToolRules& rules) {
  const json* tools = fields.Find("tools");
  if (tools == nullptr) return;
  if (!tools->is_array() || tools->size() > kMaxTools) {
    return fields.Fail("tools", absl::StrCat("give a list of at most ", kMaxTools, " tools"));
  }
  absl::flat_hash_set<std::string> names;
  size_t bytes_left = kMaxAllParametersBytes;
  for (size_t i = 0; i < tools->size() && !error; ++i) {
    const std::string path = absl::StrCat("tools.", i);
    if (!(*tools)[i].is_object()) return fields.Fail(path, shape);
    FieldReader own((*tools)[i], path + ".", error);
    Tool tool = read(own, bytes_left);
    if (!names.insert(tool.name).second) own.Fail("name", "another tool has this name");
    rules.tools.push_back(std::move(tool));
  }
}

ToolRules ReadTools(FieldReader& fields, std::optional<http::ApiError>& error) {
  ToolRules rules;
  if (const json* tools = fields.Find("tools")) {
    if (!tools->is_array() || tools->size() > kMaxTools) {
      fields.Fail("tools", absl::StrCat("give a list of at most ", kMaxTools, " tools"));
      return rules;
    }
    ToolReader reader(error);
    for (size_t i = 0; i < tools->size() && !error; ++i) {
      const std::string path = absl::StrCat("tools.", i);
      if (!(*tools)[i].is_object()) {
        fields.Fail(path, "give an object, as {\"type\": \"function\", \"function\": {\"name\": \"...\"}}");
        break;
      }
      reader.Read((*tools)[i], path, rules);
    }
  }
  ReadChoice(fields, error, rules);
  rules.parallel = fields.Bool("parallel_tool_calls").value_or(true);
  return rules;
}

}  // namespace quire::gateway
