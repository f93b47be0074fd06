#include "gateway/api/pipeline/tool_plan.h"

#include "absl/strings/str_cat.h"

namespace quire::gateway {

namespace {

std::optional<http::ApiError> CheckCallsTaken(const ChatPrompt& prompt, const TextModel& text) {
  if (text.parallel_calls()) return std::nullopt;
  for (const ChatTurn& turn : prompt.turns) {
    if (turn.tool_calls.size() <= 1) continue;
    const std::string& place = turn.tool_calls[1].place;
    return InvalidField(place,
                        absl::StrCat(place,
                                     ": this model's chat template takes one tool call at a time: give the "
                                     "result of each before the next one"));
  }
  return std::nullopt;
}

}  // namespace

std::optional<http::ApiError> CheckToolsTaken(const ChatPrompt& prompt, const TextModel& text) {
  if (text.tool_form() != ToolForm::kNone) return CheckCallsTaken(prompt, text);
  if (!prompt.tools.tools.empty()) return ToolsNotTaken("tools");
  // No result is without its call.
  for (const ChatTurn& turn : prompt.turns) {
    if (!turn.tool_calls.empty()) return ToolsNotTaken(turn.tool_calls.front().place);
  }
  return std::nullopt;
}

nlohmann::ordered_json ToolDeclarations(const ToolRules& rules) {
  nlohmann::ordered_json declarations;  // null
  for (const Tool& tool : rules.tools) declarations.push_back(tool.declaration);
  return declarations;
}

CallRules CallRulesOf(const Prompt& prompt, const TextModel& text) {
  const auto* chat = std::get_if<ChatPrompt>(&prompt);
  if (chat == nullptr || chat->tools.tools.empty() || chat->tools.use == ToolUse::kNone) return {};
  CallRules rules{
      .form = text.tool_form(), .names = {}, .parallel = chat->tools.parallel && text.parallel_calls()};
  for (const Tool& tool : chat->tools.tools) {
    if (chat->tools.only.empty() || tool.name == chat->tools.only) rules.names.push_back(tool.name);
  }
  return rules;
}

}  // namespace quire::gateway
