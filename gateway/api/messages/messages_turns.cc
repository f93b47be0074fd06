#include "gateway/api/messages/messages_turns.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/call_results.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/messages/messages_tools.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxMessages = 10'000;
constexpr size_t kMaxCallIdBytes = 256;
constexpr const char* kTextOnly = "this model reads text only: leave it out, or say it in words";

// What one message says.
struct Said {
  std::string text, thinking;
  std::vector<ToolCall> calls;
};

class TurnsReader {
 public:
  TurnsReader(std::optional<http::ApiError>& error, bool& cache_control)
      : error_(error), cache_control_(cache_control) {}

  void ReadSystem(FieldReader& fields) {
    std::string text = ReadText(fields, "system", "", kBetweenBlocks);
    if (!text.empty()) turns_.push_back({.role = "system", .content = std::move(text)});
  }
  void ReadMessages(FieldReader& fields) {
    const json* messages = fields.Find("messages");
    if (messages == nullptr || !messages->is_array() || messages->empty() ||
        messages->size() > kMaxMessages) {
      return fields.Fail("messages", absl::StrCat("give a list of 1 to ", kMaxMessages, " messages"));
    }
    for (size_t i = 0; i < messages->size() && !error_; ++i) {
      const json& message = (*messages)[i];
      if (!message.is_object()) {
        return fields.Fail(absl::StrCat("messages.", i), "give an object with role and content");
      }
      FieldReader own(message, absl::StrCat("messages.", i, "."), error_);
      ReadMessage(own, absl::StrCat("messages.", i, "."), i + 1 == messages->size());
    }
  }
  std::vector<ChatTurn> Take() { return std::move(turns_); }

 private:
  // Blocks are things of their own, but those of an answer are one text, in which nothing may stand that the
  // model did not write.
  static constexpr const char* kBetweenBlocks = "\n";
  static constexpr const char* kNoResult = "each tool_use of the message before needs a tool_result here";

  void ReadMessage(FieldReader& fields, const std::string& prefix, bool is_last) {
    const std::string role = fields.String("role", 64).value_or("");
    if (role != "user" && role != "assistant" && role != "system") {
      return fields.Fail("role", "give user, assistant or system");
    }
    if (role != "user" && !results_.complete()) return fields.Fail("content", kNoResult);
    Said said = ReadContent(fields, prefix, role);
    if (fields.failed()) return;
    if (role == "assistant") return AddAnswer(fields, std::move(said), is_last);
    if (!results_.complete()) return fields.Fail("content", kNoResult);
    const bool has_results = results_.Close(turns_);
    if (!has_results || !said.text.empty()) AddText(role, kBetweenBlocks, std::move(said.text));
  }

  void AddAnswer(FieldReader& fields, Said said, bool is_last) {
    if (is_last && !said.calls.empty()) {
      return fields.Fail("content",
                         "a tool_use can't be continued: give its tool_result in a message behind");
    }
    ChatTurn& turn = AddText("assistant", "", std::move(said.text));
    turn.tool_calls = std::move(said.calls);
    if (is_last) turn.reasoning = std::move(said.thinking);
  }

  ChatTurn& AddText(const std::string& role, const char* glue, std::string text) {
    const bool goes_on =
        role != "system" && !turns_.empty() && turns_.back().role == role && turns_.back().tool_calls.empty();
    if (goes_on) {
      absl::StrAppend(&turns_.back().content, glue, text);
    } else {
      turns_.push_back({.role = role, .content = std::move(text)});
    }
    return turns_.back();
  }

  // Calls visit(block's reader, its prefix) for each block of a list; says what is wrong with the others.
  template <typename Visit>
  void ForEachBlock(FieldReader& fields, const char* name, const std::string& prefix, const json& blocks,
                    const Visit& visit) {
    for (size_t i = 0; i < blocks.size() && !error_; ++i) {
      const std::string path = absl::StrCat(name, ".", i);
      if (!blocks[i].is_object()) {
        return fields.Fail(path, "give a block, as {\"type\": \"text\", \"text\": \"...\"}");
      }
      FieldReader own(blocks[i], absl::StrCat(prefix, path, "."), error_);
      cache_control_ |= own.Find("cache_control") != nullptr;
      visit(own, absl::StrCat(prefix, path, "."));
    }
  }

  // A string, or a list of text blocks; empty where there is none.
  std::string ReadText(FieldReader& fields, const char* name, const std::string& prefix, const char* glue) {
    const json* content = fields.Find(name);
    if (content == nullptr) return {};
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    if (!content->is_array()) {
      fields.Fail(name, "give a string or a list of text blocks");
      return text;
    }
    bool first = true;
    ForEachBlock(fields, name, prefix, *content, [&](FieldReader& block, const std::string&) {
      if (TypeOf(block) != "text") return block.Fail("type", kTextOnly);
      absl::StrAppend(&text, std::exchange(first, false) ? "" : glue, TextOf(block, "text"));
    });
    return text;
  }

  Said ReadContent(FieldReader& fields, const std::string& prefix, const std::string& role) {
    Said said;
    const json* content = fields.Find("content");
    if (content == nullptr || role == "system" || !content->is_array()) {
      if (content == nullptr) fields.Fail("content", "give a string or a list of blocks");
      said.text = ReadText(fields, "content", prefix, kBetweenBlocks);
      return said;
    }
    bool first = true;
    ForEachBlock(fields, "content", prefix, *content, [&](FieldReader& block, const std::string& path) {
      const std::string type = TypeOf(block);
      if (type == "text") {
        const bool glued = !std::exchange(first, false) && role == "user";
        absl::StrAppend(&said.text, glued ? kBetweenBlocks : "", TextOf(block, "text"));
      } else if (role == "user") {
        ReadUserBlock(block, path, type);
      } else {
        ReadAnswerBlock(block, type, said);
      }
    });
    return said;
  }

  void ReadUserBlock(FieldReader& block, const std::string& prefix, const std::string& type) {
    if (type != "tool_result") return block.Fail("type", kTextOnly);
    const std::string id = block.String("tool_use_id", kMaxCallIdBytes).value_or("");
    if (!results_.Knows(id))
      return block.Fail("tool_use_id", "the message before has no tool_use of that id");
    std::string text = block.Bool("is_error").value_or(false) ? "Error: " : "";
    text += ReadText(block, "content", prefix, kBetweenBlocks);
    if (!results_.Take(id, std::move(text))) {
      block.Fail("tool_use_id", "its result was given before");
    }
  }

  void ReadAnswerBlock(FieldReader& block, const std::string& type, Said& said) {
    if (type == "thinking") {
      said.thinking += TextOf(block, "thinking");
    } else if (type == "tool_use") {
      ReadCall(block, said);
    } else if (type != "redacted_thinking") {
      block.Fail("type", "give text, thinking or tool_use: other blocks can't be read here");
    }
  }

  void ReadCall(FieldReader& block, Said& said) {
    ToolCall call{.id = block.String("id", kMaxCallIdBytes).value_or(""),
                  .name = block.String("name", kMaxToolUseNameBytes).value_or(""),
                  .arguments = json::object()};
    if (call.id.empty()) block.Fail("id", "give the id of the call");
    if (!results_.Open(call)) block.Fail("id", "another call has this id");
    if (!IsToolName(call.name, kMaxToolUseNameBytes)) block.Fail("name", kToolUseNameForm);
    const json* input = block.Find("input");
    if (input == nullptr || !input->is_object()) return block.Fail("input", "give an object");
    call.arguments = *input;
    said.calls.push_back(std::move(call));
  }

  static std::string TypeOf(FieldReader& block) { return block.String("type", 64).value_or(""); }
  static std::string TextOf(FieldReader& block, const char* name) {
    const json* text = block.Find(name);
    if (text != nullptr && text->is_string()) return text->get<std::string>();
    block.Fail(name, "give a string");
    return {};
  }

  std::optional<http::ApiError>& error_;
  bool& cache_control_;
  std::vector<ChatTurn> turns_;
  CallResults results_;  // of the calls of the message before
};

}  // namespace

std::vector<ChatTurn> ReadMessagesTurns(FieldReader& fields, std::optional<http::ApiError>& error,
                                        bool& cache_control) {
  TurnsReader reader(error, cache_control);
  reader.ReadSystem(fields);
  reader.ReadMessages(fields);
  return reader.Take();
}

}  // namespace quire::gateway
