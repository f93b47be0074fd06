#include "gateway/text/tool_form.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "gateway/text/chat_template.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kName = "quire_probe";

ordered_json Parsed(std::string_view text) { return ordered_json::parse(text, nullptr, false); }

ordered_json Tools() {
  return Parsed(R"([{"type": "function", "function": {"name": "quire_probe", "description": "probes",
      "parameters": {"type": "object", "properties": {"a": {"type": "string", "description": "b"}},
      "required": ["a"]}}}])");
}

ordered_json Arguments() { return Parsed(R"({"a": "b"})"); }

// A question, a call and its result.
ordered_json Conversation() {
  return Parsed(R"([{"role": "user", "content": "q"},
      {"role": "assistant", "content": "", "tool_calls": [{"id": "callprobe", "type": "function",
        "function": {"name": "quire_probe", "arguments": {"a": "b"}}}]},
      {"role": "tool", "tool_call_id": "callprobe", "name": "quire_probe", "content": "r"}])");
}

// A question, two calls and their results.
ordered_json ParallelConversation() {
  return Parsed(R"([{"role": "user", "content": "q"},
      {"role": "assistant", "content": "", "tool_calls": [
        {"id": "callprob1", "type": "function",
         "function": {"name": "quire_probe", "arguments": {"a": "first-call"}}},
        {"id": "callprob2", "type": "function",
         "function": {"name": "quire_probe", "arguments": {"a": "second-call"}}}]},
      {"role": "tool", "tool_call_id": "callprob1", "name": "quire_probe", "content": "first-result"},
      {"role": "tool", "tool_call_id": "callprob2", "name": "quire_probe", "content": "second-result"}])");
}

bool IsHermes(std::string_view prompt) {
  constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";
  const size_t open = prompt.rfind(kOpen);  // the last one: the first may be of what explains it
  if (open == std::string_view::npos) return false;
  const std::string_view rest = prompt.substr(open + kOpen.size());
  const size_t close = rest.find(kClose);
  if (close == std::string_view::npos) return false;
  const ordered_json call = Parsed(rest.substr(0, close));
  return call.is_object() && call.value("name", ordered_json()) == kName &&
         call.value("arguments", ordered_json()) == Arguments();
}

bool IsLlama3(std::string_view prompt) {
  return prompt.find(R"({"name": "quire_probe", "parameters": {"a": "b"}})") != std::string_view::npos;
}

}  // namespace

ToolForm FindToolForm(const ChatTemplate& chat_template) {
  const ordered_json question = ordered_json::array({Conversation()[0]});
  const auto asked = chat_template.Render(question, Tools(), true, nullptr);
  if (!asked.ok() || asked->text().find(kName) == std::string::npos) return ToolForm::kNone;
  const auto called = chat_template.Render(Conversation(), Tools(), true, nullptr);
  if (!called.ok()) return ToolForm::kNone;
  if (IsHermes(called->text())) return ToolForm::kHermes;
  return IsLlama3(called->text()) ? ToolForm::kLlama3 : ToolForm::kNone;
}

bool TakesParallelCalls(const ChatTemplate& chat_template) {
  const auto prompt = chat_template.Render(ParallelConversation(), Tools(), true, nullptr);
  if (!prompt.ok()) return false;
  for (const char* part : {"first-call", "second-call", "first-result", "second-result"}) {
    if (prompt->text().find(part) == std::string::npos) return false;
  }
  return true;
}

}  // namespace quire::gateway
