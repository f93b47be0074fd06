#include "gateway/api/pipeline/plan.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/hash.h"
#include "gateway/api/pipeline/plan_form.h"
#include "gateway/api/pipeline/sampling_fields.h"
#include "gateway/api/pipeline/tool_plan.h"

namespace quire::gateway {
namespace {

constexpr uint64_t kUsualMaxTokens = 16384;
constexpr size_t kMaxPrefixHashes = 64;  // the coordinator takes no more
constexpr uint64_t kMaxHeldChances = 1 << 19, kMaxHeldTokens = 1 << 20;
// Of prompts, in all choices that echo them: they are said at once.
constexpr uint64_t kMaxScoredChances = 1 << 18;
// A stream that repeats has its text five times when it ends: kept, in three events of its item and in the
// whole response.
constexpr uint64_t kTimesRepeated = 5;
constexpr double kGreedyBelow = 1e-6;  // smaller temperatures would overflow the logits: they mean greedy
// top_p 0 (and what a float can't tell from it) is the smallest nucleus: the likeliest token.
constexpr float kLeastTopP = std::numeric_limits<float>::min();

// A prompt as text, and the field that it came in.
struct PromptText {
  OriginText text;
  std::string param;
};

std::string ParamOf(const ChatPrompt& prompt) { return prompt.param; }
std::string ParamOf(const TextPrompt& prompt) { return prompt.param; }
std::string ParamOf(const IdsPrompt& prompt) { return prompt.param; }

absl::StatusOr<OriginText> Render(const ChatPrompt& prompt, const TextModel& text) {
  const nlohmann::ordered_json tools = ToolDeclarations(prompt.tools);
  if (!prompt.generation_prompt) return text.RenderTurns(prompt.turns, prompt.reasons, tools);
  return text.RenderChat(prompt.turns, prompt.reasons, tools);
}

ApiResult<PromptText> TextOf(const ChatPrompt& prompt, const TextModel& text) {
  if (prompt.generation_prompt && prompt.ContinuesAssistant() && prompt.turns.size() == 1) {
    return InvalidField(
        prompt.param,
        absl::StrCat(prompt.param, ": give a message before the assistant's that is to be continued"));
  }
  if (auto error = CheckToolsTaken(prompt, text)) return *std::move(error);
  absl::StatusOr<OriginText> rendered = Render(prompt, text);
  if (!rendered.ok())
    return InvalidField(prompt.param, absl::StrCat(prompt.param, ": ", rendered.status().message()));
  return PromptText{*std::move(rendered), prompt.param};
}

ApiResult<PromptText> TextOf(TextPrompt& prompt, const TextModel&) {
  return PromptText{OriginText(std::move(prompt.text), Origin::kTemplate), prompt.param};
}

ApiResult<std::vector<TokenId>> Encode(const PromptText& prompt, const CatalogModel& model,
                                       const std::function<bool()>& gone) {
  const uint64_t context = model.fact->max_context();
  absl::StatusOr<std::vector<TokenId>> ids =
      model.text->tokenizer().Encode(prompt.text, {.max_tokens = context, .gone = gone});
  if (absl::IsCancelled(ids.status())) return ClientLeft();
  if (absl::IsResourceExhausted(ids.status())) return PromptTooLong(context, prompt.param);
  if (!ids.ok()) return InvalidField(prompt.param, absl::StrCat(prompt.param, ": ", ids.status().message()));
  return *std::move(ids);
}

ApiResult<std::vector<TokenId>> IdsOf(IdsPrompt& prompt, const CatalogModel& model,
                                      const std::function<bool()>& /*gone*/) {
  const int64_t vocabulary_size = model.text->tokenizer().vocabulary_size();
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    if (prompt.ids[i] >= 0 && prompt.ids[i] < vocabulary_size) continue;
    const std::string param = absl::StrCat(prompt.param, ".", i);
    return InvalidField(param, OutsideVocabulary(param, prompt.ids[i], vocabulary_size));
  }
  return std::move(prompt.ids);
}

std::span<const TokenId> PrefixOf(const TextPrompt& prompt, const TextModel& text) {
  return prompt.add_special_tokens ? text.tokenizer().prefix_ids() : std::span<const TokenId>();
}
// Templates write their own.
std::span<const TokenId> PrefixOf(const ChatPrompt&, const TextModel&) { return {}; }

template <typename WithText>
ApiResult<std::vector<TokenId>> IdsOf(WithText& prompt, const CatalogModel& model,
                                      const std::function<bool()>& gone) {
  ApiResult<PromptText> text = TextOf(prompt, *model.text);
  if (auto* error = std::get_if<http::ApiError>(&text)) return std::move(*error);
  if (gone()) return ClientLeft();
  ApiResult<std::vector<TokenId>> ids = Encode(std::get<PromptText>(text), model, gone);
  if (auto* found = std::get_if<std::vector<TokenId>>(&ids)) {
    const std::span<const TokenId> prefix = PrefixOf(prompt, *model.text);
    found->insert(found->begin(), prefix.begin(), prefix.end());
  }
  return ids;
}

// Only a chat's answer is told apart: whoever sends text or ids gets text as the model writes it.
ReasoningRules ReasoningOf(const Prompt& prompt, std::span<const TokenId> ids, const TextModel& text) {
  const auto* chat = std::get_if<ChatPrompt>(&prompt);
  if (chat == nullptr) return {};
  ReasoningRules rules{.start_id = text.think_start_id(),
                       .end_id = text.think_end_id(),
                       .start = text.ReasoningStartAfter(ids),
                       .separate = chat->separate_reasoning};
  // Text that goes on is no place to begin to reason.
  const bool goes_on = chat->ContinuesAssistant() && !chat->turns.back().content.empty();
  if (goes_on) rules.start = {.place = ReasoningStart::Place::kContent};
  return rules;
}

// Fills in max_tokens; the error says why prompt and answer don't fit.
std::optional<http::ApiError> PlanLength(const SamplingRequest& request, const v1::ModelFact& model,
                                         const std::string& param, GenerationRequest& plan) {
  const uint64_t prompt = plan.prompt.size();
  const uint64_t context = model.max_context();
  const uint64_t limit = model.max_output_tokens() > 0 ? model.max_output_tokens() : context;
  const uint64_t asked = PositionsEach(static_cast<uint64_t>(request.max_tokens.value_or(1)));
  if (prompt + asked > context) {
    return ContextExceeded(prompt, asked, context, param, request.max_tokens_param);
  }
  if (asked > limit) {
    return InvalidField(
        request.max_tokens_param,
        absl::StrCat(request.max_tokens_param, ": this model's answers have at most ", limit, " tokens"));
  }
  plan.max_tokens =
      static_cast<uint32_t>(request.max_tokens ? static_cast<uint64_t>(*request.max_tokens)
                                               : std::min({context - prompt, limit, kUsualMaxTokens}));
  if (request.min_tokens > plan.max_tokens) {
    return InvalidField("min_tokens", absl::StrCat("min_tokens: at most ", plan.max_tokens, " fit here"));
  }
  plan.rope = prompt + plan.positions_each() > model.plain_context() ? v1::ROPE_SCALED : v1::ROPE_PLAIN;
  return std::nullopt;
}

v1::Sampling PlanSampling(const SamplingRequest& request, const TextModel& text) {
  const GenerationDefaults& defaults = text.defaults();
  v1::Sampling sampling;
  const double temperature = request.temperature.value_or(defaults.temperature);
  sampling.set_temperature(temperature < kGreedyBelow ? 0 : static_cast<float>(temperature));
  sampling.set_top_k(static_cast<int32_t>(request.top_k.value_or(defaults.top_k)));
  sampling.set_top_p(std::max(static_cast<float>(request.top_p.value_or(defaults.top_p)), kLeastTopP));
  sampling.set_min_p(static_cast<float>(request.min_p.value_or(defaults.min_p)));
  sampling.set_repetition_penalty(
      static_cast<float>(request.repetition_penalty.value_or(defaults.repetition_penalty)));
  sampling.set_presence_penalty(static_cast<float>(request.presence_penalty.value_or(0)));
  sampling.set_frequency_penalty(static_cast<float>(request.frequency_penalty.value_or(0)));
  for (const auto& [id, bias] : request.logit_bias) {
    v1::LogitBias* out = sampling.add_logit_bias();
    out->set_token_id(id);
    out->set_bias(static_cast<float>(bias));
  }
  sampling.set_logprobs(request.logprobs);
  sampling.set_top_logprobs(request.top_logprobs);
  sampling.set_min_tokens(static_cast<uint32_t>(request.min_tokens));
  // ignore_eos is about the checkpoint's own ends; ids that the client named still stop.
  if (!request.ignore_eos) sampling.mutable_stop_ids()->Assign(text.eos_ids().begin(), text.eos_ids().end());
  for (const int32_t id : request.stop_token_ids) sampling.add_stop_ids(id);
  return sampling;
}

// What the coordinator places by: hashes of the first blocks, so that a long prompt makes no long message.
std::vector<std::string> PrefixHashes(const GenerationRequest& plan) {
  const size_t tokens = std::min(plan.prompt.size(), kMaxPrefixHashes * kBlockTokens);
  const auto prefix = std::span(plan.prompt).first(tokens);
  std::vector<std::string> hashes;
  for (const Digest& hash : PrefixBlockHashes(plan.cache_salt, RopeVariant_Name(plan.rope), prefix)) {
    hashes.push_back(ToBytes(hash));
  }
  return hashes;
}

// A request's generations have ids that differ in their last byte, so that a log's lines show who belongs
// together; the first has the request's own.
RequestId NthId(RequestId id, size_t i) {
  id.bytes.back() ^= static_cast<uint8_t>(i);
  return id;
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  std::memcpy(&seed, RandomBytes(sizeof seed).data(), sizeof seed);
  return seed;
}

// But for the answer's form.
ApiResult<GenerationRequest> PlanPrompt(const SamplingRequest& request, Prompt& prompt,
                                        const CatalogModel& model, const v1::KeyFact& key,
                                        const RequestId& id, const std::function<bool()>& gone) {
  if (auto error = CheckTokenIds(request, model.text->tokenizer().vocabulary_size()))
    return *std::move(error);
  ApiResult<std::vector<TokenId>> ids = std::visit([&](auto& p) { return IdsOf(p, model, gone); }, prompt);
  if (auto* error = std::get_if<http::ApiError>(&ids)) return std::move(*error);
  GenerationRequest plan;
  plan.id = id;
  plan.key_id = key.key_id();
  plan.model = model.fact->model();
  plan.text = model.text;
  plan.bundle_digest = model.fact->bundle_digest();
  plan.prompt = std::get<std::vector<TokenId>>(std::move(ids));
  const std::string param = std::visit([](const auto& p) { return ParamOf(p); }, prompt);
  if (plan.prompt.empty()) return InvalidField(param, absl::StrCat(param, ": the prompt is empty"));
  if (auto error = PlanLength(request, *model.fact, param, plan)) return *std::move(error);
  plan.sampling = PlanSampling(request, *model.text);
  plan.choices = request.choices;
  plan.scores_prompt = request.scores_prompt;
  plan.seed = request.seed ? *request.seed : RandomSeed();
  plan.stops = request.stop;
  plan.reasoning = ReasoningOf(prompt, plan.prompt, *model.text);
  plan.loop_guard = request.loop_guard;
  plan.calls = CallRulesOf(prompt, *model.text);
  plan.cache_salt = key.cache_salt();
  // Where its prompt is cached is no matter to one that reads it all the same.
  if (!plan.scores_prompt) plan.prefix_hashes = PrefixHashes(plan);
  return plan;
}

// One that costs much to make, and depends on a prompt only where that is a conversation.
std::optional<http::ApiError> FormOf(const SamplingRequest& request, const Prompt& prompt,
                                     const TextModel& text, const GenerationRequest* sibling,
                                     GenerationRequest& plan) {
  const auto* chat = std::get_if<ChatPrompt>(&prompt);
  if (chat != nullptr || sibling == nullptr) return PlanForm(request, chat, text, plan);
  plan.grammar_kind = sibling->grammar_kind;
  plan.grammar = sibling->grammar;
  plan.reasoning_phase = sibling->reasoning_phase;
  return std::nullopt;
}

}  // namespace

std::optional<http::ApiError> CheckHeld(std::span<const GenerationRequest> plans,
                                        const SamplingRequest& request, Holding holding) {
  const v1::Sampling& sampling = plans.front().sampling;
  if (!sampling.logprobs() && plans.size() == 1) return std::nullopt;
  uint64_t most = (sampling.logprobs() ? kMaxHeldChances : kMaxHeldTokens) / plans.size();
  most /= plans.front().choices * uint64_t{1 + sampling.top_logprobs()};
  if (holding == Holding::kRepeated) most /= kTimesRepeated;
  const auto fits = [most](const GenerationRequest& plan) { return plan.max_tokens <= most; };
  if (std::all_of(plans.begin(), plans.end(), fits)) return std::nullopt;
  const char* much = sampling.logprobs() ? "so many logprobs" : "so many prompts";
  const bool repeated = holding == Holding::kRepeated;
  return InvalidField(
      request.max_tokens_param,
      absl::StrCat(request.max_tokens_param, ": with ", much,
                   repeated ? " a stream that repeats its text" : " a whole answer", " has at most ", most,
                   " tokens a choice: give fewer", repeated ? "" : ", or stream"));
}

std::optional<http::ApiError> CheckScored(std::span<const GenerationRequest> plans) {
  if (!plans.front().scores_prompt) return std::nullopt;
  const uint64_t most =
      kMaxScoredChances / (plans.front().choices * uint64_t{1 + plans.front().sampling.top_logprobs()});
  uint64_t tokens = 0;
  for (const GenerationRequest& plan : plans) tokens += plan.prompt.size();
  if (tokens <= most) return std::nullopt;
  return InvalidField("echo", absl::StrCat("echo: with so many logprobs prompts have at most ", most,
                                           " tokens in all: give fewer or shorter prompts, or ask for fewer "
                                           "logprobs or choices"));
}

ApiResult<std::vector<TokenId>> EncodePrompt(Prompt prompt, const CatalogModel& model,
                                             const std::function<bool()>& gone) {
  return std::visit([&](auto& p) { return IdsOf(p, model, gone); }, prompt);
}

ApiResult<std::string> RenderPrompt(const ChatPrompt& prompt, const TextModel& text) {
  ApiResult<PromptText> rendered = TextOf(prompt, text);
  if (auto* error = std::get_if<http::ApiError>(&rendered)) return std::move(*error);
  return std::get<PromptText>(rendered).text.text();
}

ApiResult<GenerationRequest> PlanGeneration(const SamplingRequest& request, Prompt prompt,
                                            const CatalogModel& model, const v1::KeyFact& key,
                                            const RequestId& id, const std::function<bool()>& gone) {
  std::vector<Prompt> prompts;
  prompts.push_back(std::move(prompt));
  auto plans = PlanGenerations(request, std::move(prompts), model, key, id, gone);
  if (auto* error = std::get_if<http::ApiError>(&plans)) return std::move(*error);
  return std::move(std::get<std::vector<GenerationRequest>>(plans).front());
}

ApiResult<std::vector<GenerationRequest>> PlanGenerations(const SamplingRequest& request,
                                                          std::vector<Prompt> prompts,
                                                          const CatalogModel& model, const v1::KeyFact& key,
                                                          const RequestId& id,
                                                          const std::function<bool()>& gone) {
  std::vector<GenerationRequest> plans;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ApiResult<GenerationRequest> planned = PlanPrompt(request, prompts[i], model, key, NthId(id, i), gone);
    if (auto* error = std::get_if<http::ApiError>(&planned)) return std::move(*error);
    GenerationRequest& plan = std::get<GenerationRequest>(planned);
    const GenerationRequest* sibling = plans.empty() ? nullptr : &plans.front();
    if (auto error = FormOf(request, prompts[i], *model.text, sibling, plan)) return *std::move(error);
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace quire::gateway
