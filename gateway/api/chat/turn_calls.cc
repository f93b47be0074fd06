#include "gateway/api/chat/turn_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/chat/tool_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// Of all strings of arguments together: parsed, they take several times as much.
constexpr size_t kMaxArgumentBytes = 4 << 20;

}  // namespace

void TurnCalls::Read(FieldReader& message, bool is_last, ChatTurn& turn) {
  const json* calls = message.FindFilled(kToolCalls);
  if (calls != nullptr && turn.role != "assistant") {
    return message.Fail(kToolCalls, "only assistant messages have tool calls");
  }
  if (turn.role == "tool") return ReadResult(message, turn);
  End();
  if (calls == nullptr) return;
  if (is_last) {
    return message.Fail(kToolCalls,
                        "a last assistant message is continued, and tool calls can't be: give the tools' "
                        "results behind it");
  }
  if (message.List(kToolCalls) == nullptr) return;
  message.ForEach(kToolCalls, *calls,
                  [&](FieldReader& call, size_t) { turn.tool_calls.push_back(ReadCall(call)); });
}

ToolCall TurnCalls::ReadCall(FieldReader& fields) {
  ToolCall call{.id = fields.String(kCallId).value_or(""), .name = {}, .arguments = json::object()};
  if (call.id.empty()) fields.Fail(kCallId, "give the id of the tool call");
  fields.Choice(kCallType);
  std::optional<FieldReader> own = fields.Object(kCallFunction);
  if (!own) return call;
  call.name = own->String(kCallName).value_or("");
  if (!IsToolName(call.name)) own->Fail(kCallName, kToolNameAdvice);
  call.arguments = ReadArguments(*own);
  call.place = fields.path();
  if (!open_.insert({call.id, {call.name, call.place}}).second) {
    fields.Fail(kCallId, "another tool call of this message has the same id");
  }
  return call;
}

json TurnCalls::ReadArguments(FieldReader& function) {
  const json* arguments = function.FindFilled(kCallArguments);
  if (arguments == nullptr) return json::object();
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) {
    function.Fail(kCallArguments, "give a JSON object, as a string");
    return json::object();
  }
  const auto& text = arguments->get_ref<const std::string&>();
  argument_bytes_ += text.size();
  if (argument_bytes_ > kMaxArgumentBytes) {
    function.Fail(kCallArguments, absl::StrCat("all tool calls' arguments together have at most ",
                                               kMaxArgumentBytes, " bytes"));
    return json::object();
  }
  absl::StatusOr<json> parsed = ParseStrictJson(text, RepeatedKey::kLastCounts);
  if (!parsed.ok()) {
    function.Fail(kCallArguments, absl::StrCat("the string is no JSON object: ", parsed.status().message()));
  } else if (!parsed->is_object()) {
    function.Fail(kCallArguments, "the string is JSON, but no object");
  } else {
    return *std::move(parsed);
  }
  return json::object();
}

void TurnCalls::ReadResult(FieldReader& message, ChatTurn& turn) {
  turn.tool_call_id = message.String(kToolCallId).value_or("");
  if (turn.tool_call_id.empty()) {
    return message.Fail(kToolCallId, "name the tool call that this is the result of");
  }
  const auto found = open_.find(turn.tool_call_id);
  if (found == open_.end()) {
    return message.Fail(kToolCallId,
                        "the assistant message before these tool results has no such tool call, or it has "
                        "its result already");
  }
  turn.name = found->second.name;
  open_.erase(found);
}

void TurnCalls::End() {
  if (open_.empty() || error_) return;
  const auto place = [](const auto& open) { return std::pair(open.second.path.size(), open.second.path); };
  const auto first = std::min_element(open_.begin(), open_.end(),
                                      [&](const auto& a, const auto& b) { return place(a) < place(b); });
  const std::string& path = first->second.path;
  error_ = InvalidField(path, absl::StrCat(path,
                                           ": give the tool's result in a message of the role \"tool\" "
                                           "right behind this message"));
}

}  // namespace quire::gateway
