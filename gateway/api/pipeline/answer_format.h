// What a client wants an answer to be: calls of the tools that it has, and text of a form. Parsed and bounded
// by the doors; what a model writes under it is held to it by a grammar. Plain data.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace quire::gateway {

struct Tool {
  std::string name;
  nlohmann::ordered_json declaration;  // {"type": "function", "function": {...}}, as templates take it
  nlohmann::ordered_json parameters;   // a JSON schema of an object; {} where the client gave none
  // true: what no grammar can hold the arguments to is refused; absent: it is let be; false: they are any
  // object.
  std::optional<bool> strict = {};
  const char* parameters_field = "function.parameters";  // where they stand in the tool, as the client has it
};

enum class ToolUse {
  kNone,      // the tools are told of and not called
  kAuto,      // the model's choice
  kRequired,  // one call or more
};

struct ToolRules {
  std::vector<Tool> tools;  // their names differ
  ToolUse use = ToolUse::kAuto;
  std::string only;      // with kRequired: no other one; empty: any
  bool parallel = true;  // several calls in one answer
};

struct TextFormat {
  enum class Kind { kText, kJsonObject, kJsonSchema, kRegex, kEbnf };
  Kind kind = Kind::kText;
  nlohmann::ordered_json schema;          // kJsonSchema
  std::string source;                     // kRegex, kEbnf
  bool strict = true;                     // kJsonSchema; false: what no grammar can hold it to is let be
  std::string param = "response_format";  // the field that the schema or source came in
};

}  // namespace quire::gateway
