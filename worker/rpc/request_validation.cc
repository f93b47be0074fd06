#include "worker/rpc/request_validation.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int kMaxChoices = 128;
constexpr int kMaxStopIds = 128;
constexpr int kMaxLogitBias = 1024;
constexpr size_t kMaxSaltBytes = 128;
constexpr size_t kMaxGrammarKindBytes = 64, kMaxGrammarBytes = 1 << 20;
constexpr float kMaxPenalty = 100.0f;

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckIds(const char* field, const google::protobuf::RepeatedField<int32_t>& ids, int64_t vocab) {
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab) {
      return Invalid(field, "[", i, "] = ", ids[i], " is no token id: the model has 0..", vocab - 1);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNumber(const char* field, float value, float min, float max) {
  if (std::isfinite(value) && value >= min && value <= max) return absl::OkStatus();
  return Invalid(field, " = ", value, " must be from ", min, " to ", max);
}

absl::Status CheckSampling(const v1::Sampling& sampling, int64_t vocab) {
  QUIRE_RETURN_IF_ERROR(CheckNumber("temperature", sampling.temperature(), 0.0f, 100.0f));
  QUIRE_RETURN_IF_ERROR(CheckNumber("top_p", sampling.top_p(), std::nextafter(0.0f, 1.0f), 1.0f));
  QUIRE_RETURN_IF_ERROR(CheckNumber("min_p", sampling.min_p(), 0.0f, 1.0f));
  QUIRE_RETURN_IF_ERROR(CheckNumber("repetition_penalty", sampling.repetition_penalty(), 0.01f, kMaxPenalty));
  QUIRE_RETURN_IF_ERROR(
      CheckNumber("presence_penalty", sampling.presence_penalty(), -kMaxPenalty, kMaxPenalty));
  QUIRE_RETURN_IF_ERROR(
      CheckNumber("frequency_penalty", sampling.frequency_penalty(), -kMaxPenalty, kMaxPenalty));
  if (sampling.top_k() < 0) return Invalid("top_k = ", sampling.top_k(), " must be 0 (off) or more");
  if (int64_t{sampling.top_logprobs()} > kernels::kMaxTopLogprobs) {
    return Invalid("top_logprobs = ", sampling.top_logprobs(), " must be at most ", kernels::kMaxTopLogprobs);
  }
  if (sampling.stop_ids_size() > kMaxStopIds)
    return Invalid("stop_ids has more than ", kMaxStopIds, " entries");
  QUIRE_RETURN_IF_ERROR(CheckIds("stop_ids", sampling.stop_ids(), vocab));
  if (sampling.logit_bias_size() > kMaxLogitBias) {
    return Invalid("logit_bias has more than ", kMaxLogitBias, " entries");
  }
  for (const v1::LogitBias& bias : sampling.logit_bias()) {
    if (bias.token_id() < 0 || bias.token_id() >= vocab) {
      return Invalid("logit_bias of ", bias.token_id(), ", which is no token id: the model has 0..",
                     vocab - 1);
    }
    QUIRE_RETURN_IF_ERROR(CheckNumber("logit_bias", bias.bias(), -1000.0f, 1000.0f));
  }
  return absl::OkStatus();
}

absl::Status CheckChoices(const v1::GenerateRequest& request) {
  if (request.choices().empty() || request.choices_size() > kMaxChoices) {
    return Invalid("choices must have 1..", kMaxChoices, " entries, not ", request.choices_size());
  }
  std::bitset<kMaxChoices> seen;
  for (const v1::Choice& choice : request.choices()) {
    if (choice.index() >= kMaxChoices) {
      return Invalid("choices have an index ", choice.index(), ": they are below ", kMaxChoices);
    }
    if (seen[choice.index()]) return Invalid("choices have the index ", choice.index(), " twice");
    seen.set(choice.index());
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const v1::GenerateRequest& request, const ServedModel& model) {
  if (request.request_id().size() != 16) return Invalid("request_id must have 16 bytes");
  QUIRE_RETURN_IF_ERROR(CheckChoices(request));
  // Without one it would share a prefix cache with others who say none.
  if (request.cache_salt().empty() || request.cache_salt().size() > kMaxSaltBytes)
    return Invalid("cache_salt must have 1..", kMaxSaltBytes, " bytes");
  if (!v1::RopeVariant_IsValid(request.rope_variant())) return Invalid("rope_variant is unknown");
  if (request.rope_variant() == v1::ROPE_SCALED && !model.has_scaled_rope) {
    return Invalid(
        "rope_variant asks for scaled RoPE and the model was loaded without: start it with --rope-scaling");
  }
  return absl::OkStatus();
}

absl::Status CheckLengths(const v1::GenerateRequest& request, const ServedModel& model) {
  const int64_t context = request.rope_variant() == v1::ROPE_SCALED ? model.max_context : model.plain_context;
  const int64_t prompt = request.prompt_ids_size();
  if (prompt == 0) return Invalid("prompt_ids is empty");
  if (prompt >= context) {
    return Invalid("the prompt has ", prompt, " tokens and the context ", context,
                   ": at least one must be left for the answer");
  }
  if (request.max_tokens() == 0) return Invalid("max_tokens must be at least 1");
  for (const v1::Choice& choice : request.choices()) {
    const int64_t resumed = choice.resumed_ids_size();
    if (resumed > int64_t{request.max_tokens()} || prompt + resumed > context) {
      return Invalid("resumed_ids of choice ", choice.index(), " has ", resumed,
                     " tokens, more than the request can have");
    }
  }
  if (request.sampling().min_tokens() > request.max_tokens())
    return Invalid("min_tokens is above max_tokens");
  return absl::OkStatus();
}

// What opens or ends a reasoning ends no choice.
absl::Status CheckReasoning(const v1::GenerateRequest& request, int64_t vocab) {
  if (!request.has_reasoning()) return absl::OkStatus();
  const v1::Reasoning& reasoning = request.reasoning();
  if (!v1::ReasoningStart_IsValid(reasoning.start())) return Invalid("reasoning.start is unknown");
  const bool may_open = reasoning.start() == v1::REASONING_MAY_OPEN;
  const std::pair<const char*, int32_t> ids[] = {{"reasoning.start_id", reasoning.start_id()},
                                                 {"reasoning.end_id", reasoning.end_id()}};
  const auto& stops = request.sampling().stop_ids();
  for (const auto& [field, id] : std::span(ids).subspan(may_open ? 0 : 1)) {
    if (id < 0 || id >= vocab) {
      return Invalid(field, " = ", id, " is no token id: the model has 0..", vocab - 1);
    }
    if (!request.sampling().ignore_eos() && std::find(stops.begin(), stops.end(), id) != stops.end()) {
      return Invalid(field, " = ", id, " is one of stop_ids");
    }
  }
  if (may_open && reasoning.start_id() == reasoning.end_id()) {
    return Invalid("reasoning.start_id and reasoning.end_id are both ", reasoning.end_id());
  }
  return absl::OkStatus();
}

absl::Status CheckScoring(const v1::GenerateRequest& request) {
  if (!request.has_scoring()) return absl::OkStatus();
  const v1::PromptScoring& scoring = request.scoring();
  if (scoring.from() < 1 || int64_t{scoring.from()} > request.prompt_ids_size()) {
    return Invalid("scoring.from = ", scoring.from(), " must be from 1 to the prompt's ",
                   request.prompt_ids_size(), " tokens");
  }
  if (int64_t{scoring.top_logprobs()} > kernels::kMaxTopLogprobs) {
    return Invalid("scoring.top_logprobs = ", scoring.top_logprobs(), " must be at most ",
                   kernels::kMaxTopLogprobs);
  }
  return absl::OkStatus();
}

Reasoning ToReasoning(const v1::Reasoning& reasoning) {
  const bool may_open = reasoning.start() == v1::REASONING_MAY_OPEN;
  Reasoning result{.start = may_open ? Reasoning::Start::kMayOpen : Reasoning::Start::kInside,
                   .start_id = reasoning.start_id(),
                   .end_id = reasoning.end_id()};
  if (reasoning.has_max_tokens()) result.max_tokens = reasoning.max_tokens();
  return result;
}

SamplingParams ToParams(const v1::Sampling& sampling) {
  SamplingParams params;
  params.temperature = sampling.temperature();
  params.top_k = sampling.top_k();
  params.top_p = sampling.top_p();
  params.min_p = sampling.min_p();
  params.repetition_penalty = sampling.repetition_penalty();
  params.presence_penalty = sampling.presence_penalty();
  params.frequency_penalty = sampling.frequency_penalty();
  for (const v1::LogitBias& bias : sampling.logit_bias()) {
    params.logit_bias.emplace_back(bias.token_id(), bias.bias());
  }
  params.top_logprobs = static_cast<int32_t>(sampling.top_logprobs());
  params.logprobs = sampling.logprobs() || sampling.top_logprobs() > 0;
  return params;
}

absl::Status CheckGrammar(const v1::GenerateRequest& request, bool has_grammars) {
  if (!request.has_grammar()) return absl::OkStatus();
  if (!has_grammars) return Invalid("grammar: this group has no grammar engine");
  if (request.grammar().kind().size() > kMaxGrammarKindBytes) {
    return Invalid("grammar: its kind has more than ", kMaxGrammarKindBytes, " bytes");
  }
  if (request.grammar().source().size() > kMaxGrammarBytes) {
    return Invalid("grammar: its source has more than ", kMaxGrammarBytes, " bytes");
  }
  return absl::OkStatus();
}

GenerationRequest ToEngine(const v1::GenerateRequest& request) {
  const v1::Sampling& sampling = request.sampling();
  GenerationRequest result;
  result.prompt_ids.assign(request.prompt_ids().begin(), request.prompt_ids().end());
  result.sampling = ToParams(sampling);
  result.stop_ids.assign(sampling.stop_ids().begin(), sampling.stop_ids().end());
  result.ignore_eos = sampling.ignore_eos();
  result.min_tokens = sampling.min_tokens();
  result.max_tokens = request.max_tokens();
  result.seed = request.seed();
  result.scaled_rope = request.rope_variant() == v1::ROPE_SCALED;
  result.cache_salt = request.cache_salt();
  if (request.has_reasoning()) result.reasoning = ToReasoning(request.reasoning());
  if (request.has_scoring()) {
    result.scoring = {.from = request.scoring().from(),
                      .top_logprobs = static_cast<int32_t>(request.scoring().top_logprobs())};
  }
  result.choices.clear();
  for (const v1::Choice& choice : request.choices()) {
    result.choices.push_back({.index = choice.index(),
                              .resumed_ids = {choice.resumed_ids().begin(), choice.resumed_ids().end()},
                              .done = choice.done()});
  }
  return result;
}

}  // namespace

absl::StatusOr<GenerationRequest> ValidateRequest(const v1::GenerateRequest& request,
                                                  const ServedModel& model, uint64_t group_epoch,
                                                  bool has_grammars) {
  if (request.group_epoch() != group_epoch) {
    return absl::FailedPreconditionError(absl::StrCat("the request was placed on epoch ",
                                                      request.group_epoch(), " of this group, which is at ",
                                                      group_epoch));
  }
  QUIRE_RETURN_IF_ERROR(CheckShape(request, model));
  QUIRE_RETURN_IF_ERROR(CheckLengths(request, model));
  QUIRE_RETURN_IF_ERROR(CheckIds("prompt_ids", request.prompt_ids(), model.vocab));
  for (const v1::Choice& choice : request.choices()) {
    QUIRE_RETURN_IF_ERROR(CheckIds("resumed_ids", choice.resumed_ids(), model.vocab));
  }
  QUIRE_RETURN_IF_ERROR(CheckSampling(request.sampling(), model.vocab));
  QUIRE_RETURN_IF_ERROR(CheckReasoning(request, model.vocab));
  QUIRE_RETURN_IF_ERROR(CheckScoring(request));
  QUIRE_RETURN_IF_ERROR(CheckGrammar(request, has_grammars));
  return ToEngine(request);
}

}  // namespace quire::worker
