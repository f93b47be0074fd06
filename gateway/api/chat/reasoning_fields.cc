#include "gateway/api/chat/reasoning_fields.h"

#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr int64_t kMaxThinkBudget = 1'000'000;

// Whether the model is to reason, as each of several fields may say it; they have to agree.
class ReasoningWish {
 public:
  ReasoningWish(ChatPrompt& prompt, std::optional<uint32_t>& budget) : prompt_(prompt), budget_(budget) {}

  void ReadEffort(FieldReader& fields, const char* name) {
    const auto effort = gateway::ReadEffort(fields, name);
    if (!effort) return;
    Say(fields, name, effort->reasons);
    if (effort->budget) budget_ = effort->budget;
  }
  void ReadSwitch(FieldReader& fields, const char* name) {
    if (const auto on = fields.Bool(name)) Say(fields, name, *on);
  }

 private:
  void Say(FieldReader& fields, const char* name, bool on) {
    if (prompt_.reasons.value_or(on) != on) {
      return fields.Fail(name, "another field says the opposite: give one of them");
    }
    prompt_.reasons = on;
  }

  ChatPrompt& prompt_;
  std::optional<uint32_t>& budget_;
};

}  // namespace

void ReadReasoning(FieldReader& fields, std::optional<http::ApiError>& error, ChatRequest& request) {
  request.separate_reasoning = fields.Bool("separate_reasoning").value_or(true);
  ReasoningWish wish(request.prompt, request.sampling.think_budget);
  wish.ReadEffort(fields, "reasoning_effort");
  wish.ReadSwitch(fields, "enable_thinking");
  if (const json* reasoning = fields.Find("reasoning")) {
    if (!reasoning->is_object()) return fields.Fail("reasoning", "give an object");
    FieldReader own(*reasoning, "reasoning.", error);
    wish.ReadEffort(own, "effort");
    wish.ReadSwitch(own, "enabled");
    if (const auto budget = own.Integer("max_tokens", 0, kMaxThinkBudget)) {
      request.sampling.think_budget = static_cast<uint32_t>(*budget);
      // Who gives a budget wants it to be used.
      if (*budget > 0 && !request.prompt.reasons) request.prompt.reasons = true;
    }
    for (const char* name : {"summary", "generate_summary"}) {
      if (own.FindFilled(name) != nullptr) own.Unsupported(name, "leave it out");
    }
    request.exclude_reasoning = own.Bool("exclude").value_or(false);
    // What is left out has to be told apart.
    if (request.exclude_reasoning) request.separate_reasoning = true;
  }
  if (const json* variables = fields.Find("chat_template_kwargs")) {
    if (!variables->is_object()) return fields.Fail("chat_template_kwargs", "give an object");
    FieldReader own(*variables, "chat_template_kwargs.", error);
    wish.ReadSwitch(own, "enable_thinking");
    for (const auto& [name, value] : variables->items()) {
      if (name != "enable_thinking" && !value.is_null())
        return fields.Unsupported("chat_template_kwargs", "only enable_thinking is read");
    }
  }
}

}  // namespace quire::gateway
