#include "gateway/api/chat/chat_turns.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gateway/api/chat/turn_calls.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxTurns = 10'000;
constexpr size_t kMaxNameBytes = 256;

// Chat templates know no developer.
std::string ReadRole(FieldReader& fields) {
  std::string role = fields.String("role", 64).value_or("");
  if (role == "developer") role = "system";
  if (role == "function") {
    fields.Unsupported("role", "give a tool's result with the role \"tool\"");
  } else if (role != "system" && role != "user" && role != "assistant" && role != "tool") {
    fields.Fail("role", "give system, developer, user, assistant or tool");
  }
  return role;
}

// What says something beside the content and would be lost.
void RefuseWhatIsNoText(FieldReader& fields) {
  constexpr std::pair<const char*, const char*> kNoText[] = {
      {"function_call", "give a function's call in \"tool_calls\""},
      {"refusal", "leave it out, or give its text as the content"},
      {"audio", "leave it out: this model reads text only"},
      {"images", "leave them out: this model reads text only"},
  };
  for (const auto& [name, advice] : kNoText) {
    if (fields.FindFilled(name) != nullptr) fields.Unsupported(name, advice);
  }
}

// A string as it is; the text parts of a list joined, as templates want them.
std::string ReadContent(FieldReader& fields) {
  const json* content = fields.Find("content");
  if (content != nullptr && content->is_string()) return content->get<std::string>();
  std::string text;
  if (content == nullptr || !content->is_array()) {
    fields.Fail("content", "give a string or a list of text parts");
    return text;
  }
  for (size_t i = 0; i < content->size(); ++i) {
    const json& part = (*content)[i];
    const std::string path = absl::StrCat("content.", i);
    if (!part.is_object()) {
      fields.Fail(path, "give an object, as {\"type\": \"text\", \"text\": \"...\"}");
      return text;
    }
    const auto type = part.find("type"), found = part.find("text");
    if (type == part.end() || *type != "text") {
      fields.Fail(path + ".type", "this model reads text only: give parts of type \"text\"");
    } else if (found == part.end() || !found->is_string()) {
      fields.Fail(path + ".text", "give a string");
    } else {
      text += found->get_ref<const std::string&>();
    }
  }
  return text;
}

std::string ReasoningToContinue(FieldReader& fields) {
  std::string reasoning;
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const json* value = fields.FindFilled(name);
    if (value == nullptr) continue;
    if (!value->is_string()) {
      fields.Fail(name, "give a string");
    } else if (!reasoning.empty() && *value != reasoning) {
      fields.Fail(name, "it says something else than reasoning_content: give one of the two");
    } else {
      reasoning = value->get<std::string>();
    }
  }
  return reasoning;
}

// Of earlier turns reasoning is no part of a prompt, whatever it is.
ChatTurn ReadTurn(FieldReader& fields, size_t index, bool is_last, TurnCalls& calls) {
  ChatTurn turn;
  turn.role = ReadRole(fields);
  RefuseWhatIsNoText(fields);
  calls.Read(fields, index, is_last, turn);
  if (turn.role != "tool" && fields.FindFilled("tool_call_id") != nullptr) {
    fields.Fail("tool_call_id", "only the results of tool calls have one, with the role \"tool\"");
  }
  const bool is_answer = turn.role == "assistant";
  if (is_answer && is_last) turn.reasoning = ReasoningToContinue(fields);
  const bool reasons =
      fields.FindFilled("reasoning_content") != nullptr || fields.FindFilled("reasoning") != nullptr;
  // It may have been cut before it had any content, or be calls alone.
  const bool has_more = !turn.tool_calls.empty() || (is_answer && reasons);
  if (!has_more || fields.Find("content") != nullptr) turn.content = ReadContent(fields);
  fields.String("name", kMaxNameBytes);
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
  const json* messages = fields.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty() || messages->size() > kMaxTurns) {
    fields.Fail("messages", absl::StrCat("give a list of 1 to ", kMaxTurns, " messages"));
    return turns;
  }
  TurnCalls calls(error);
  for (size_t i = 0; i < messages->size() && !error; ++i) {
    const json& message = (*messages)[i];
    if (!message.is_object()) {
      fields.Fail(absl::StrCat("messages.", i), "give an object with role and content");
      break;
    }
    FieldReader message_fields(message, absl::StrCat("messages.", i, "."), error);
    turns.push_back(ReadTurn(message_fields, i, i + 1 == messages->size(), calls));
  }
  calls.End();
  if (!error) OrderResults(turns);
  return turns;
}

}  // namespace quire::gateway
