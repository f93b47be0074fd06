#include "gateway/api/chat/chat_turns.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "gateway/api/chat/declared_messages.h"
#include "gateway/api/chat/turn_calls.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// Chat templates know no developer.
std::string ReadRole(FieldReader& fields) {
  if (const json* role = fields.Find(kRole); role != nullptr && *role == "function") {
    fields.Unsupported(kRole, "give a tool's result with the role \"tool\"");
  }
  const std::string role = fields.Choice(kRole).value_or("");
  return role == "developer" ? "system" : role;
}

// A string as it is; the text parts of a list joined, as templates want them.
std::string ReadContent(FieldReader& fields) {
  const json* content = fields.List(kContent);
  if (content == nullptr) {
    fields.Fail(kContent, kContent.advice);
    return "";
  }
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  fields.ForEach(kContent, *content, [&](FieldReader& part, size_t) {
    part.Choice(kPartType);
    text += part.Text(kPartText);
  });
  return text;
}

std::string ReasoningToContinue(FieldReader& fields) {
  std::string reasoning;
  for (const ShapeField* field : {&kReasoningContent, &kReasoningText}) {
    const json* value = fields.FindFilled(*field);
    if (value == nullptr) continue;
    if (!value->is_string()) {
      fields.Fail(*field, "give a string");
    } else if (!reasoning.empty() && *value != reasoning) {
      fields.Fail(*field, "it says something else than reasoning_content: give one of the two");
    } else {
      reasoning = value->get<std::string>();
    }
  }
  return reasoning;
}

// Of earlier turns reasoning is no part of a prompt, whatever it is.
ChatTurn ReadTurn(FieldReader& fields, bool is_last, TurnCalls& calls) {
  ChatTurn turn;
  turn.role = ReadRole(fields);
  // What says something beside the content and would be lost.
  for (const RefusedField& field : kNoText) fields.Refuse(field);
  calls.Read(fields, is_last, turn);
  if (turn.role != "tool" && fields.FindFilled(kToolCallId) != nullptr) {
    fields.Fail(kToolCallId, "only the results of tool calls have one, with the role \"tool\"");
  }
  const bool is_answer = turn.role == "assistant";
  if (is_answer && is_last) turn.reasoning = ReasoningToContinue(fields);
  const bool reasons =
      fields.FindFilled(kReasoningContent) != nullptr || fields.FindFilled(kReasoningText) != nullptr;
  // It may have been cut before it had any content, or be calls alone.
  const bool has_more = !turn.tool_calls.empty() || (is_answer && reasons);
  if (!has_more || fields.Find(kContent) != nullptr) turn.content = ReadContent(fields);
  fields.String(kMessageName);
  return turn;
}

// Templates don't name a call in its result: results come in the order of their answer's calls, each of which
// has one right behind it.
void OrderResults(std::vector<ChatTurn>& turns) {
  for (auto turn = turns.begin(); turn != turns.end(); ++turn) {
    absl::flat_hash_map<std::string_view, size_t> places;
    for (const ToolCall& call : turn->tool_calls) places.emplace(call.id, places.size());
    std::sort(turn + 1, turn + 1 + static_cast<ptrdiff_t>(places.size()),
              [&](const ChatTurn& a, const ChatTurn& b) {
                return places.at(a.tool_call_id) < places.at(b.tool_call_id);
              });
  }
}

}  // namespace

std::vector<ChatTurn> ReadTurns(FieldReader& fields, std::optional<http::ApiError>& error) {
  std::vector<ChatTurn> turns;
  const json* messages = fields.List(kMessages);
  if (messages == nullptr) return turns;
  TurnCalls calls(error);
  fields.ForEach(kMessages, *messages, [&](FieldReader& message, size_t index) {
    turns.push_back(ReadTurn(message, index + 1 == messages->size(), calls));
  });
  calls.End();
  if (!error) OrderResults(turns);
  return turns;
}

}  // namespace quire::gateway
