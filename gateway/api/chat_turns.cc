#include "gateway/api/chat_turns.h"

#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

constexpr size_t kMaxTurns = 10'000;
constexpr size_t kMaxNameBytes = 256;

std::string ReadRole(FieldReader& fields) {
  const std::string role = fields.String("role", 64).value_or("");
  if (role == "developer") return "system";
  if (role == "tool" || role == "function") {
    fields.Unsupported("role", "leave tool results out");
  } else if (role != "system" && role != "user" && role != "assistant") {
    fields.Fail("role", "give system, developer, user or assistant");
  }
  return role;
}

std::string ReadPart(const json& part, const std::string& path, FieldReader& fields) {
  if (!part.is_object()) {
    fields.Fail(path, "give an object, as {\"type\": \"text\", \"text\": \"...\"}");
    return "";
  }
  auto type = part.find("type");
  if (type == part.end() || *type != "text") {
    fields.Fail(path + ".type", "this model reads text only: give parts of type \"text\"");
    return "";
  }
  auto text = part.find("text");
  if (text == part.end() || !text->is_string()) {
    fields.Fail(path + ".text", "give a string");
    return "";
  }
  return text->get<std::string>();
}

std::string ReadContent(FieldReader& fields) {
  const json* content = fields.Find("content");
  if (content != nullptr && content->is_string()) return content->get<std::string>();
  if (content == nullptr || !content->is_array()) {
    fields.Fail("content", "give a string or a list of text parts");
    return "";
  }
  std::string text;
  for (size_t i = 0; i < content->size() && !fields.failed(); ++i) {
    text += ReadPart((*content)[i], absl::StrCat("content.", i), fields);
  }
  return text;
}

ChatTurn ReadTurn(FieldReader& fields) {
  ChatTurn turn;
  turn.role = ReadRole(fields);
  turn.content = ReadContent(fields);
  fields.String("name", kMaxNameBytes);
  if (const json* calls = fields.Find("tool_calls");
      calls != nullptr && !(calls->is_array() && calls->empty())) {
    fields.Unsupported("tool_calls", "leave tool calls out of the conversation");
  }
  return turn;
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
  }
  return turns;
}

}  // namespace quire::gateway
