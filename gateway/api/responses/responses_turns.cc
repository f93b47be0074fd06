#include "gateway/api/responses/responses_turns.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/call_results.h"
#include "gateway/api/chat/tool_fields.h"
#include "gateway/api/responses/declared_items.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// Of all strings of arguments together: parsed, they take several times as much.
constexpr size_t kMaxArguments = 4 << 20;

class ItemsReader {
 public:
  void ReadInstructions(FieldReader& fields) {
    std::string text = fields.String(kInstructions).value_or("");
    if (!text.empty()) turns_.push_back({.role = "system", .content = std::move(text)});
  }
  void ReadInput(FieldReader& fields) {
    const json* input = fields.List(kInput);
    if (input == nullptr) return;
    if (input->is_string()) {
      turns_.push_back({.role = "user", .content = input->get<std::string>()});
      return;
    }
    fields.ForEach(kInput, *input, [&](FieldReader& item, size_t) { ReadItem(item); });
    if (!results_.complete()) fields.Fail(kInput, kNoOutput);
    results_.Close(turns_);
    if (turns_.empty()) fields.Fail(kInput, "reasoning alone is no prompt: give a message");
  }
  std::vector<ChatTurn> Take() { return std::move(turns_); }

 private:
  static constexpr const char* kNoOutput =
      "each function_call needs a function_call_output right behind the calls";

  // A message may come without its type.
  void ReadItem(FieldReader& item) {
    const std::string type = item.Choice(kItemType).value_or("message");
    if (item.failed()) return;
    if (type == "message") {
      ReadMessage(item);
    } else if (type == "function_call") {
      ReadCall(item);
    } else if (type == "function_call_output") {
      ReadOutput(item);
    }
  }

  void ReadMessage(FieldReader& item) {
    std::string role = item.Choice(kItemRole).value_or("");
    if (item.failed()) return;
    if (role == "developer") role = "system";
    if (item.Find(kItemContent) == nullptr) item.Fail(kItemContent, kPartsAdvice);
    // Behind calls that have no output yet it is of the answer that called.
    if (role == "assistant" && !results_.complete() && !results_.begun()) {
      turns_.back().content += ReadText(item, kItemContent);
      return;
    }
    if (!results_.complete()) return item.Fail(kItemRole, kNoOutput);
    results_.Close(turns_);
    turns_.push_back({.role = std::move(role), .content = ReadText(item, kItemContent)});
  }

  // Parts are joined.
  static std::string ReadText(FieldReader& item, const ListField& field) {
    const json* content = item.List(field);
    if (content == nullptr) return {};
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    item.ForEach(field, *content, [&](FieldReader& part, size_t) {
      part.Choice(kItemPartType);
      text += part.Text(kItemPartText);
    });
    return text;
  }

  void ReadCall(FieldReader& item) {
    ToolCall call{.id = item.String(kItemCallId).value_or(""),
                  .name = item.String(kItemName).value_or(""),
                  .arguments = json::object(),
                  .place = item.path()};
    if (call.id.empty()) item.Fail(kItemCallId, "give the id of the call");
    if (!IsToolName(call.name)) item.Fail(kItemName, kToolNameAdvice);
    ReadArguments(item, call);
    if (item.failed()) return;
    // Behind outputs it is a call of another answer.
    if (results_.begun()) {
      if (!results_.complete()) return item.Fail(kItemCallId, kNoOutput);
      results_.Close(turns_);
    }
    if (!results_.Open(call)) return item.Fail(kItemCallId, "another call has this id");
    if (turns_.empty() || turns_.back().role != "assistant")
      turns_.push_back({.role = "assistant", .content = {}});
    turns_.back().tool_calls.push_back(std::move(call));
  }

  void ReadArguments(FieldReader& item, ToolCall& call) {
    const json* arguments = item.FindFilled(kItemArguments);
    if (arguments == nullptr) return;
    if (!arguments->is_string()) return item.Fail(kItemArguments, "give a JSON object, as a string");
    const auto& text = arguments->get_ref<const std::string&>();
    argument_bytes_ += text.size();
    if (argument_bytes_ > kMaxArguments) {
      return item.Fail(kItemArguments,
                       absl::StrCat("all arguments together have at most ", kMaxArguments, " bytes"));
    }
    absl::StatusOr<json> parsed = ParseStrictJson(text, RepeatedKey::kLastCounts);
    if (!parsed.ok() || !parsed->is_object())
      return item.Fail(kItemArguments, "the string is no JSON object");
    call.arguments = *std::move(parsed);
  }

  void ReadOutput(FieldReader& item) {
    const std::string id = item.String(kOutputCallId).value_or("");
    if (!results_.Knows(id)) return item.Fail(kOutputCallId, "no function_call before it has this id");
    if (item.Find(kItemOutput) == nullptr) return item.Fail(kItemOutput, kPartsAdvice);
    std::string text = ReadText(item, kItemOutput);
    if (!results_.Take(id, std::move(text))) item.Fail(kOutputCallId, "its output was given before");
  }

  std::vector<ChatTurn> turns_;
  CallResults results_;  // of the last answer's calls
  size_t argument_bytes_ = 0;
};

}  // namespace

std::vector<ChatTurn> ReadResponsesTurns(FieldReader& fields) {
  ItemsReader reader;
  reader.ReadInstructions(fields);
  reader.ReadInput(fields);
  return reader.Take();
}

}  // namespace quire::gateway
