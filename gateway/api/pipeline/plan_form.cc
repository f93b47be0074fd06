#include "gateway/api/pipeline/plan_form.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/api/pipeline/answer_grammar.h"

namespace quire::gateway {
namespace {

// Where the answer may begin with reasoning.
std::optional<v1::Reasoning> PhaseOf(const ReasoningRules& rules) {
  using Place = ReasoningStart::Place;
  if (!rules.start_id || !rules.end_id || rules.start.place == Place::kContent) return std::nullopt;
  v1::Reasoning phase;
  phase.set_start(rules.start.place == Place::kReasoning ? v1::REASONING_INSIDE : v1::REASONING_MAY_OPEN);
  phase.set_start_id(*rules.start_id);
  phase.set_end_id(*rules.end_id);
  return phase;
}

// They would end the answer where its reasoning does.
std::optional<http::ApiError> CheckStopIds(const SamplingRequest& request, const v1::Reasoning& phase) {
  for (const int32_t id : request.stop_token_ids) {
    if (id != phase.start_id() && id != phase.end_id()) continue;
    return InvalidField("stop_token_ids", absl::StrCat("stop_token_ids: ", id,
                                                       " begins or ends the reasoning, which a think budget "
                                                       "or an answer's form goes by: leave it out"));
  }
  return std::nullopt;
}

}  // namespace

std::optional<http::ApiError> PlanForm(const SamplingRequest& request, const ChatPrompt* chat,
                                       const TextModel& text, GenerationRequest& plan) {
  std::optional<v1::Reasoning> phase = PhaseOf(plan.reasoning);
  const ToolRules no_tools;
  ApiResult<std::optional<std::string>> grammar =
      AnswerGrammar({.tools = chat != nullptr ? chat->tools : no_tools,
                     .form = text.tool_form(),
                     .format = request.format,
                     .behind_reasoning = phase.has_value(),
                     .one_call = !text.parallel_calls()});
  if (auto* error = std::get_if<http::ApiError>(&grammar)) return std::move(*error);
  if (auto& source = std::get<std::optional<std::string>>(grammar)) {
    plan.grammar_kind = kGrammarKind;
    plan.grammar = std::make_shared<const std::string>(*std::move(source));
  }
  if (!phase || (plan.grammar == nullptr && !request.think_budget)) return std::nullopt;
  if (auto error = CheckStopIds(request, *phase)) return error;
  if (request.think_budget) phase->set_max_tokens(*request.think_budget);
  plan.reasoning_phase = *std::move(phase);
  return std::nullopt;
}

}  // namespace quire::gateway
