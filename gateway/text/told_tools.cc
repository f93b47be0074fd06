#include "gateway/text/told_tools.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gateway/text/chat_template.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

// After what QwQ's own template says.
constexpr std::string_view kBefore =
    "# Tools\n\nYou may call functions that help with the user's request. Each of these lines is one of "
    "them:\n<tools>";
constexpr std::string_view kBehind =
    "\n</tools>\n\nFor each call write a JSON object with the function's name and arguments within "
    "<tool_call></tool_call> tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
    "<args-json-object>}\n</tool_call>";

std::string InWords(const ordered_json& tools) {
  std::string text(kBefore);
  for (const ordered_json& tool : tools) absl::StrAppend(&text, "\n", tool.dump());
  return text += kBehind;
}

ChatTurn CallsInWords(const ChatTurn& turn) {
  ChatTurn told{.role = turn.role, .content = turn.content, .reasoning = turn.reasoning};
  for (const ToolCall& call : turn.tool_calls) {
    absl::StrAppend(&told.content, told.content.empty() ? "" : "\n",
                    "<tool_call>\n{\"name\": ", ordered_json(call.name).dump(),
                    ", \"arguments\": ", call.arguments.dump(), "}\n</tool_call>");
  }
  return told;
}

std::string ResultInWords(const ChatTurn& turn) {
  return absl::StrCat("<tool_response>\n", turn.content, "\n</tool_response>");
}

}  // namespace

bool HasTools(std::span<const ChatTurn> turns, const ordered_json& tools) {
  return !tools.is_null() || std::any_of(turns.begin(), turns.end(), [](const ChatTurn& turn) {
    return turn.role == "tool" || !turn.tool_calls.empty();
  });
}

// Results one after another are one user's message, as QwQ's template has them.
std::vector<ChatTurn> TellTools(std::span<const ChatTurn> turns, const ordered_json& tools) {
  std::vector<ChatTurn> told;
  if (!tools.is_null()) {
    const bool has_system = !turns.empty() && turns.front().role == "system";
    const std::string before = has_system ? turns.front().content + "\n\n" : "";
    told.push_back({.role = "system", .content = before + InWords(tools)});
    if (has_system) turns = turns.subspan(1);
  }
  bool goes_on = false;
  for (const ChatTurn& turn : turns) {
    if (turn.role != "tool") {
      told.push_back(CallsInWords(turn));
    } else if (goes_on) {
      absl::StrAppend(&told.back().content, "\n", ResultInWords(turn));
    } else {
      told.push_back({.role = "user", .content = ResultInWords(turn)});
    }
    goes_on = turn.role == "tool";
  }
  return told;
}

bool CanTellTools(const ChatTemplate& chat_template) {
  const ordered_json tools = ordered_json::array({"probe-tool"});
  const ToolCall call{.id = "a", .name = "probe-call", .arguments = ordered_json::object()};
  const ChatTurn turns[] = {{.role = "user", .content = "probe-question"},
                            {.role = "assistant", .content = "", .tool_calls = {call}},
                            {.role = "tool", .content = "probe-result", .tool_call_id = "a"}};
  ordered_json messages = ordered_json::array();
  for (const ChatTurn& turn : TellTools(turns, tools)) {
    messages.push_back(ordered_json{{"role", turn.role}, {"content", turn.content}});
  }
  const auto prompt = chat_template.Render(messages, nullptr, true, nullptr);
  if (!prompt.ok()) return false;
  return std::ranges::all_of(
      std::to_array<std::string_view>({"probe-tool", "probe-question", "probe-call", "probe-result"}),
      [&](std::string_view part) { return prompt->text().find(part) != std::string::npos; });
}

}  // namespace quire::gateway
