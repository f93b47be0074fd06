#include "gateway/api/chat/turn_calls.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/chat/tool_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxIdBytes = 256;
// Of all strings of arguments together: parsed, they take several times as much.
constexpr size_t kMaxArgumentBytes = 4 << 20;

}  // namespace

void TurnCalls::Read(FieldReader& message, size_t index, bool is_last, ChatTurn& turn) {
  const json* calls = message.FindFilled("tool_calls");
  if (calls != nullptr && turn.role != "assistant") {
    return message.Fail("tool_calls", "only assistant messages have tool calls");
  }
  if (turn.role == "tool") return ReadResult(message, turn);
  End();
  if (calls == nullptr) return;
  if (is_last) {
    return message.Fail("tool_calls",
                        "a last assistant message is continued, and tool calls can't be: give the tools' "
                        "results behind it");
  }
  if (!calls->is_array() || calls->size() > kMaxTools) {
    return message.Fail("tool_calls", absl::StrCat("give a list of at most ", kMaxTools, " tool calls"));
  }
  turn.tool_calls = ReadCalls(*calls, absl::StrCat("messages.", index, ".tool_calls"));
}

std::vector<ToolCall> TurnCalls::ReadCalls(const json& calls, const std::string& path) {
  std::vector<ToolCall> read;
  for (size_t i = 0; i < calls.size() && !error_; ++i) {
    const std::string place = absl::StrCat(path, ".", i);
    if (!calls[i].is_object()) {
      error_ = InvalidField(place, absl::StrCat(place, ": give an object with id, type and function"));
      break;
    }
    FieldReader fields(calls[i], place + ".", error_);
    read.push_back(ReadCall(fields, place));
  }
  return read;
}

ToolCall TurnCalls::ReadCall(FieldReader& fields, const std::string& path) {
  ToolCall call{.id = fields.String("id", kMaxIdBytes).value_or(""), .name = {}, .arguments = json::object()};
  if (call.id.empty()) fields.Fail("id", "give the id of the tool call");
  if (fields.String("type", 64).value_or("function") != "function") {
    fields.Fail("type", "only tool calls of the type \"function\" are known");
  }
  const json* function = fields.Find("function");
  if (function == nullptr || !function->is_object()) {
    fields.Fail("function", "give an object with name and arguments");
    return call;
  }
  FieldReader own(*function, path + ".function.", error_);
  call.name = own.String("name", 64).value_or("");
  if (!IsToolName(call.name)) own.Fail("name", kToolNameAdvice);
  call.arguments = ReadArguments(own);
  if (!open_.insert({call.id, {call.name, path}}).second) {
    fields.Fail("id", "another tool call of this message has the same id");
  }
  return call;
}

json TurnCalls::ReadArguments(FieldReader& function) {
  const json* arguments = function.FindFilled("arguments");
  if (arguments == nullptr) return json::object();
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) {
    function.Fail("arguments", "give a JSON object, as a string");
    return json::object();
  }
  const auto& text = arguments->get_ref<const std::string&>();
  argument_bytes_ += text.size();
  if (argument_bytes_ > kMaxArgumentBytes) {
    function.Fail("arguments", absl::StrCat("all tool calls' arguments together have at most ",
                                            kMaxArgumentBytes, " bytes"));
    return json::object();
  }
  absl::StatusOr<json> parsed = ParseStrictJson(text, RepeatedKey::kLastCounts);
  if (!parsed.ok()) {
    function.Fail("arguments", absl::StrCat("the string is no JSON object: ", parsed.status().message()));
  } else if (!parsed->is_object()) {
    function.Fail("arguments", "the string is JSON, but no object");
  } else {
    return *std::move(parsed);
  }
  return json::object();
}

void TurnCalls::ReadResult(FieldReader& message, ChatTurn& turn) {
  turn.tool_call_id = message.String("tool_call_id", kMaxIdBytes).value_or("");
  if (turn.tool_call_id.empty()) {
    return message.Fail("tool_call_id", "name the tool call that this is the result of");
  }
  const auto found = open_.find(turn.tool_call_id);
  if (found == open_.end()) {
    return message.Fail("tool_call_id",
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
