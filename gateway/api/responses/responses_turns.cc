#include "gateway/api/responses/responses_turns.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/call_results.h"
#include "gateway/api/chat/tool_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMaxItems = 10'000;
constexpr size_t kMaxCallId = 256, kMaxInstructionsBytes = 8 << 20;
// Of all strings of arguments together: parsed, they take several times as much.
constexpr size_t kMaxArguments = 4 << 20;

class ItemsReader {
 public:
  explicit ItemsReader(std::optional<http::ApiError>& error) : error_(error) {}

  void ReadInstructions(FieldReader& fields) {
    std::string text = fields.String("instructions", kMaxInstructionsBytes).value_or("");
    if (!text.empty()) turns_.push_back({.role = "system", .content = std::move(text)});
  }
  void ReadInput(FieldReader& fields) {
    const json* input = fields.Find("input");
    if (input != nullptr && input->is_string()) {
      turns_.push_back({.role = "user", .content = input->get<std::string>()});
      return;
    }
    if (input == nullptr || !input->is_array() || input->empty() || input->size() > kMaxItems) {
      return fields.Fail("input", absl::StrCat("give a string, or a list of 1 to ", kMaxItems, " items"));
    }
    for (size_t i = 0; i < input->size() && !error_; ++i) {
      const json& item = (*input)[i];
      const std::string path = absl::StrCat("input.", i);
      if (!item.is_object())
        return fields.Fail(path, "give an item, as {\"role\": \"user\", \"content\": \"...\"}");
      FieldReader own(item, path + ".", error_);
      ReadItem(own, path + ".");
    }
    if (!error_ && !results_.complete()) fields.Fail("input", kNoOutput);
    results_.Close(turns_);
  }
  std::vector<ChatTurn> Take() { return std::move(turns_); }

 private:
  static constexpr const char* kNoOutput =
      "each function_call needs a function_call_output right behind the calls";

  // A message may come without its type.
  void ReadItem(FieldReader& item, const std::string& prefix) {
    const std::string type = item.String("type", 64).value_or("message");
    if (type == "message") {
      ReadMessage(item, prefix);
    } else if (type == "function_call") {
      ReadCall(item);
    } else if (type == "function_call_output") {
      ReadOutput(item, prefix);
    } else if (type != "reasoning") {
      item.Fail(
          "type",
          "give message, function_call, function_call_output or reasoning, each whole: nothing is kept that "
          "an item_reference could name (SDKs that send those don't with `store` false)");
    }
  }

  void ReadMessage(FieldReader& item, const std::string& prefix) {
    std::string role = item.String("role", 64).value_or("");
    if (role == "developer") role = "system";
    if (role != "user" && role != "assistant" && role != "system") {
      return item.Fail("role", "give user, assistant, system or developer");
    }
    if (item.Find("content") == nullptr) item.Fail("content", "give a string or a list of text parts");
    // Behind calls that have no output yet it is of the answer that called.
    if (role == "assistant" && !results_.complete() && !results_.begun()) {
      turns_.back().content += ReadText(item, "content", prefix);
      return;
    }
    if (!results_.complete()) return item.Fail("role", kNoOutput);
    results_.Close(turns_);
    turns_.push_back({.role = std::move(role), .content = ReadText(item, "content", prefix)});
  }

  // Parts are joined.
  std::string ReadText(FieldReader& item, const char* name, const std::string& prefix) {
    const json* content = item.Find(name);
    if (content == nullptr) return {};
    if (content->is_string()) return content->get<std::string>();
    std::string text;
    if (!content->is_array()) item.Fail(name, "give a string or a list of text parts");
    for (size_t i = 0; content->is_array() && i < content->size() && !error_; ++i) {
      const std::string path = absl::StrCat(name, ".", i);
      if (!(*content)[i].is_object()) {
        item.Fail(path, "give a part, as {\"type\": \"input_text\", \"text\": \"...\"}");
        break;
      }
      FieldReader part((*content)[i], absl::StrCat(prefix, path, "."), error_);
      const std::string type = part.String("type", 64).value_or("");
      const json* found = part.Find("text");
      if (type != "text" && type != "input_text" && type != "output_text") {
        part.Fail("type", "this model reads text only: give parts of text");
      } else if (found == nullptr || !found->is_string()) {
        part.Fail("text", "give a string");
      } else {
        text += found->get_ref<const std::string&>();
      }
    }
    return text;
  }

  void ReadCall(FieldReader& item) {
    ToolCall call{.id = item.String("call_id", kMaxCallId).value_or(""),
                  .name = item.String("name", kMaxCallId).value_or(""),
                  .arguments = json::object()};
    if (call.id.empty()) item.Fail("call_id", "give the id of the call");
    if (!IsToolName(call.name)) item.Fail("name", kToolNameAdvice);
    ReadArguments(item, call);
    if (item.failed()) return;
    // Behind outputs it is a call of another answer.
    if (results_.begun()) {
      if (!results_.complete()) return item.Fail("call_id", kNoOutput);
      results_.Close(turns_);
    }
    if (!results_.Open(call)) return item.Fail("call_id", "another call has this id");
    if (turns_.empty() || turns_.back().role != "assistant")
      turns_.push_back({.role = "assistant", .content = {}});
    turns_.back().tool_calls.push_back(std::move(call));
  }

  void ReadArguments(FieldReader& item, ToolCall& call) {
    const json* arguments = item.FindFilled("arguments");
    if (arguments == nullptr) return;
    if (!arguments->is_string()) return item.Fail("arguments", "give a JSON object, as a string");
    const auto& text = arguments->get_ref<const std::string&>();
    argument_bytes_ += text.size();
    if (argument_bytes_ > kMaxArguments) {
      return item.Fail("arguments",
                       absl::StrCat("all arguments together have at most ", kMaxArguments, " bytes"));
    }
    absl::StatusOr<json> parsed = ParseStrictJson(text, RepeatedKey::kLastCounts);
    if (!parsed.ok() || !parsed->is_object()) return item.Fail("arguments", "the string is no JSON object");
    call.arguments = *std::move(parsed);
  }

  void ReadOutput(FieldReader& item, const std::string& prefix) {
    const std::string id = item.String("call_id", kMaxCallId).value_or("");
    if (!results_.Knows(id)) return item.Fail("call_id", "no function_call before it has this id");
    if (item.Find("output") == nullptr) return item.Fail("output", "give a string or a list of text parts");
    std::string text = ReadText(item, "output", prefix);
    if (!results_.Take(id, std::move(text))) item.Fail("call_id", "its output was given before");
  }

  std::optional<http::ApiError>& error_;
  std::vector<ChatTurn> turns_;
  CallResults results_;  // of the last answer's calls
  size_t argument_bytes_ = 0;
};

}  // namespace

std::vector<ChatTurn> ReadResponsesTurns(FieldReader& fields, std::optional<http::ApiError>& error) {
  ItemsReader reader(error);
  reader.ReadInstructions(fields);
  reader.ReadInput(fields);
  return reader.Take();
}

}  // namespace quire::gateway
