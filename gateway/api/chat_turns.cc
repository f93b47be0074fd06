#include "gateway/api/chat_turns.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/text/message_content.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

constexpr size_t kMaxTurns = 10'000;
constexpr size_t kMaxNameBytes = 256;

std::string ReadRole(FieldReader& fields) {
  const std::string role(PlainRole(fields.String("role", 64).value_or("")));
  if (role == "tool" || role == "function") {
    fields.Unsupported("role", "leave tool results out");
  } else if (role != "system" && role != "user" && role != "assistant") {
    fields.Fail("role", "give system, developer, user or assistant");
  }
  return role;
}

// What says something beside the content and would be lost.
void RefuseWhatIsNoText(FieldReader& fields) {
  constexpr std::pair<const char*, const char*> kNoText[] = {
      {"tool_calls", "leave tool calls out of the conversation"},
      {"function_call", "leave function calls out of the conversation"},
      {"tool_call_id", "leave tool results out of the conversation"},
      {"refusal", "leave it out, or give its text as the content"},
      {"audio", "leave it out: this model reads text only"},
      {"images", "leave them out: this model reads text only"},
  };
  for (const auto& [name, advice] : kNoText) {
    if (fields.FindFilled(name) != nullptr) fields.Unsupported(name, advice);
  }
}

ChatTurn ReadTurn(FieldReader& fields) {
  ChatTurn turn;
  turn.role = ReadRole(fields);
  RefuseWhatIsNoText(fields);
  const json* content = fields.Find("content");
  const json absent;
  if (const auto problem = TextOfContent(content == nullptr ? absent : *content, turn.content)) {
    fields.Fail("content" + problem->path, problem->message);
  }
  fields.String("name", kMaxNameBytes);
  return turn;
}

// Earlier reasoning is no part of a prompt; but an answer that is to go on from it needs it.
void RefuseToContinueReasoning(FieldReader& fields) {
  for (const char* name : {"reasoning_content", "reasoning"}) {
    if (fields.FindFilled(name) != nullptr) {
      fields.Unsupported(name, "leave it out of the answer that is to be continued");
    }
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
  for (size_t i = 0; i < messages->size() && !error; ++i) {
    const json& message = (*messages)[i];
    if (!message.is_object()) {
      fields.Fail(absl::StrCat("messages.", i), "give an object with role and content");
      break;
    }
    FieldReader message_fields(message, absl::StrCat("messages.", i, "."), error);
    turns.push_back(ReadTurn(message_fields));
    const bool continued = i + 1 == messages->size() && turns.back().role == "assistant";
    if (continued) RefuseToContinueReasoning(message_fields);
  }
  return turns;
}

}  // namespace quire::gateway
