#include "gateway/api/chat/reasoning_fields.h"

#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/pipeline/sampling_fields.h"

namespace quire::gateway {
namespace {

// Whether the model is to reason, as each of several fields may say it; they have to agree.
class ReasoningWish {
 public:
  ReasoningWish(ChatPrompt& prompt, std::optional<uint32_t>& budget) : prompt_(prompt), budget_(budget) {}

  void ReadEffort(FieldReader& fields, const ChoiceField& field) {
    const auto effort = gateway::ReadEffort(fields, field);
    if (!effort) return;
    Say(fields, field, effort->reasons);
    if (effort->budget) budget_ = effort->budget;
  }
  void ReadSwitch(FieldReader& fields, const BoolField& field) {
    if (const auto on = fields.Bool(field)) Say(fields, field, *on);
  }

 private:
  void Say(FieldReader& fields, const Declaration auto& field, bool on) {
    if (prompt_.reasons.value_or(on) != on) {
      return fields.Fail(field, "another field says the opposite: give one of them");
    }
    prompt_.reasons = on;
  }

  ChatPrompt& prompt_;
  std::optional<uint32_t>& budget_;
};

}  // namespace

void ReadReasoning(FieldReader& fields, ChatRequest& request) {
  request.separate_reasoning = fields.Bool(kSeparateReasoning).value_or(true);
  ReasoningWish wish(request.prompt, request.sampling.think_budget);
  wish.ReadEffort(fields, kReasoningEffort);
  wish.ReadSwitch(fields, kEnableThinking);
  if (std::optional<FieldReader> own = fields.Object(kReasoning)) {
    wish.ReadEffort(*own, kEffort);
    wish.ReadSwitch(*own, kReasoningEnabled);
    if (const auto budget = own->Integer(kReasoningMaxTokens)) {
      request.sampling.think_budget = static_cast<uint32_t>(*budget);
      // Who gives a budget wants it to be used.
      if (*budget > 0 && !request.prompt.reasons) request.prompt.reasons = true;
    }
    own->Refuse(kReasoningSummary);
    own->Refuse(kGenerateSummary);
    request.exclude_reasoning = own->Bool(kExcludeReasoning).value_or(false);
    // What is left out has to be told apart.
    if (request.exclude_reasoning) request.separate_reasoning = true;
  }
  if (std::optional<FieldReader> own = fields.Object(kTemplateVariables)) {
    wish.ReadSwitch(*own, kEnableThinking);
    for (const auto& [name, value] : own->object().items()) {
      if (name != kEnableThinking.name && !value.is_null())
        return fields.Unsupported(kTemplateVariables, "only enable_thinking is read");
    }
  }
}

}  // namespace quire::gateway
