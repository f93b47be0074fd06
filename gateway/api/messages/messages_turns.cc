#include "gateway/api/messages/messages_turns.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "gateway/api/call_results.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/messages/declared_blocks.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// What one message says.
struct Said {
  std::string text, thinking;
  std::vector<ToolCall> calls;
};

class TurnsReader {
 public:
  explicit TurnsReader(bool& cache_control) : cache_control_(cache_control) {}

  void ReadSystem(FieldReader& fields) {
    std::string text = ReadText(fields, kSystem, kBetweenBlocks);
    if (!text.empty()) turns_.push_back({.role = "system", .content = std::move(text)});
  }
  void ReadMessages(FieldReader& fields) {
    const json* messages = fields.List(kSpokenMessages);
    if (messages == nullptr) return;
    fields.ForEach(kSpokenMessages, *messages, [&](FieldReader& message, size_t index) {
      ReadMessage(message, index + 1 == messages->size());
    });
  }
  std::vector<ChatTurn> Take() { return std::move(turns_); }

 private:
  // Blocks are things of their own, but those of an answer are one text, in which nothing may stand that the
  // model did not write.
  static constexpr const char* kBetweenBlocks = "\n";
  static constexpr const char* kNoResult = "each tool_use of the message before needs a tool_result here";

  static const ListField& ContentOf(const std::string& role) {
    if (role == "system") return kSystemContent;
    return role == "user" ? kUserContent : kAnswerContent;
  }

  void ReadMessage(FieldReader& fields, bool is_last) {
    const std::string role = fields.Choice(kSpeaker).value_or("");
    const ListField& content = ContentOf(role);
    if (role != "user" && !results_.complete()) return fields.Fail(content, kNoResult);
    Said said = ReadContent(fields, content, role);
    if (fields.failed()) return;
    if (role == "assistant") return AddAnswer(fields, std::move(said), is_last);
    if (!results_.complete()) return fields.Fail(content, kNoResult);
    const bool has_results = results_.Close(turns_);
    if (!has_results || !said.text.empty()) AddText(role, kBetweenBlocks, std::move(said.text));
  }

  void AddAnswer(FieldReader& fields, Said said, bool is_last) {
    if (is_last && !said.calls.empty()) {
      return fields.Fail(kAnswerContent,
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

  template <typename Visit>
  void ForEachBlock(FieldReader& fields, const ListField& field, const json& blocks, const Visit& visit) {
    fields.ForEach(field, blocks, [&](FieldReader& block, size_t) {
      cache_control_ |= block.Find(kCacheControl) != nullptr;
      visit(block);
    });
  }

  // A string, or a list of text blocks; empty where there is none.
  std::string ReadText(FieldReader& fields, const ListField& field, const char* glue) {
    const json* content = fields.Find(field);
    if (content == nullptr || fields.List(field) == nullptr) return {};
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    bool first = true;
    ForEachBlock(fields, field, *content, [&](FieldReader& block) {
      block.Choice(kTextBlockType);
      absl::StrAppend(&text, std::exchange(first, false) ? "" : glue, Absl(block.Text(kBlockText)));
    });
    return text;
  }

  Said ReadContent(FieldReader& fields, const ListField& field, const std::string& role) {
    Said said;
    const json* content = fields.Find(field);
    if (content == nullptr || role == "system" || !content->is_array()) {
      if (content == nullptr) fields.Fail(field, "give a string or a list of blocks");
      said.text = ReadText(fields, field, kBetweenBlocks);
      return said;
    }
    bool first = true;
    ForEachBlock(fields, field, *content, [&](FieldReader& block) {
      const bool is_user = role == "user";
      const std::string type = block.Choice(is_user ? kUserBlockType : kAnswerBlockType).value_or("");
      if (type == "text") {
        const bool glued = !std::exchange(first, false) && is_user;
        absl::StrAppend(&said.text, glued ? kBetweenBlocks : "", Absl(block.Text(kBlockText)));
      } else if (is_user) {
        ReadUserBlock(block);
      } else {
        ReadAnswerBlock(block, type, said);
      }
    });
    return said;
  }

  void ReadUserBlock(FieldReader& block) {
    const std::string id = block.String(kToolUseId).value_or("");
    if (!results_.Knows(id)) return block.Fail(kToolUseId, "the message before has no tool_use of that id");
    std::string text = block.Bool(kIsError).value_or(false) ? "Error: " : "";
    text += ReadText(block, kResultContent, kBetweenBlocks);
    if (!results_.Take(id, std::move(text))) block.Fail(kToolUseId, "its result was given before");
  }

  void ReadAnswerBlock(FieldReader& block, const std::string& type, Said& said) {
    if (type == "thinking") {
      said.thinking += block.Text(kThinkingText);
    } else if (type == "tool_use") {
      ReadCall(block, said);
    }
  }

  void ReadCall(FieldReader& block, Said& said) {
    ToolCall call{.id = block.String(kToolUseCallId).value_or(""),
                  .name = block.String(kToolUseName).value_or(""),
                  .arguments = json::object(),
                  .place = block.path()};
    if (call.id.empty()) block.Fail(kToolUseCallId, "give the id of the call");
    if (!results_.Open(call)) block.Fail(kToolUseCallId, "another call has this id");
    if (!IsToolName(call.name, kMaxToolUseNameBytes)) block.Fail(kToolUseName, kToolUseNameForm);
    const json* input = block.Find(kToolUseInput);
    if (input == nullptr || !input->is_object()) return block.Fail(kToolUseInput, "give an object");
    call.arguments = *input;
    said.calls.push_back(std::move(call));
  }

  bool& cache_control_;
  std::vector<ChatTurn> turns_;
  CallResults results_;  // of the calls of the message before
};

}  // namespace

std::vector<ChatTurn> ReadMessagesTurns(FieldReader& fields, bool& cache_control) {
  TurnsReader reader(cache_control);
  reader.ReadSystem(fields);
  reader.ReadMessages(fields);
  return reader.Take();
}

}  // namespace quire::gateway
