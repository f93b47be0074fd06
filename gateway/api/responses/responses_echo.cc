#include "gateway/api/responses/responses_echo.h"

#include <utility>

#include "absl/strings/str_replace.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// As json_text.h has it: these three can be inside strings only.
std::string TextOf(const json& value) {
  return absl::StrReplaceAll(
      value.dump(), {{"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}});
}

// Of a label that was read, so it is short; null where it is absent.
json Given(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? json() : *found;
}

class Room {
 public:
  json Take(json value, json absent) {
    const size_t bytes = TextOf(value).size();
    if (bytes > left_) return absent;
    left_ -= bytes;
    return value;
  }

 private:
  size_t left_ = kMaxEchoBytes;
};

json FormatOf(const json& body, const TextFormat& format) {
  if (format.kind == TextFormat::Kind::kJsonObject) return {{"type", "json_object"}};
  if (format.kind != TextFormat::Kind::kJsonSchema) return {{"type", "text"}};
  return {{"type", "json_schema"},
          {"name", Given(Given(Given(body, "text"), "format"), "name")},
          {"schema", format.schema},
          {"strict", format.strict}};
}

json ToolsOf(const ToolRules& rules) {
  json tools = json::array();
  for (const Tool& tool : rules.tools) {
    json told{{"type", "function"}, {"name", tool.name}};
    told["description"] = Given(tool.declaration.at("function"), "description");
    told["parameters"] = tool.parameters;
    told["strict"] = tool.strict ? json(*tool.strict) : json();
    tools.push_back(std::move(told));
  }
  return tools;
}

json ChoiceOf(const ToolRules& rules) {
  if (rules.use == ToolUse::kNone) return "none";
  if (rules.use == ToolUse::kAuto) return "auto";
  if (rules.only.empty()) return "required";
  return {{"type", "function"}, {"name", rules.only}};
}

template <typename T>
json OrNull(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

}  // namespace

std::string ResponsesEcho(const json& body, const ResponsesRequest& request) {
  const json reasoning = Given(body, "reasoning"), metadata = Given(body, "metadata");
  Room room;
  json echo;
  echo["text"]["format"] = room.Take(FormatOf(body, request.sampling.format), {{"type", "text"}});
  echo["instructions"] = room.Take(Given(body, "instructions"), nullptr);
  echo["tools"] = room.Take(ToolsOf(request.prompt.tools), json::array());
  echo["tool_choice"] = ChoiceOf(request.prompt.tools);
  echo["parallel_tool_calls"] = request.prompt.tools.parallel;
  echo["reasoning"]["effort"] = Given(reasoning, "effort");
  echo["reasoning"]["summary"] = Given(reasoning, "summary");
  echo["max_output_tokens"] = OrNull(request.sampling.max_tokens);
  echo["temperature"] = OrNull(request.sampling.temperature);
  echo["top_p"] = OrNull(request.sampling.top_p);
  echo["top_logprobs"] = request.sampling.top_logprobs;
  echo["metadata"] = metadata.is_null() ? json::object() : metadata;
  echo["user"] = Given(body, "user");
  echo["store"] = false;
  echo["previous_response_id"] = nullptr;
  echo["truncation"] = "disabled";
  echo["background"] = false;
  return TextOf(echo);
}

}  // namespace quire::gateway
