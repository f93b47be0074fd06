#include "gateway/text/text_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/core/text_files.h"
#include "gateway/text/config_files.h"
#include "gateway/text/told_tools.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {
namespace {

std::optional<std::string_view> File(const v1::TextBundle& bundle, std::string_view name) {
  for (const v1::TextFile& file : bundle.files()) {
    if (file.name() == name) return file.content();
  }
  return std::nullopt;
}

// One that is left out is absent; one without a byte was cut off.
absl::Status CheckNoneIsEmpty(const v1::TextBundle& bundle) {
  for (const v1::TextFile& file : bundle.files()) {
    if (!file.content().empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": the file is empty: fetch it again, or remove it"));
  }
  return absl::OkStatus();
}

// The ids that end a choice, sorted, none twice.
absl::StatusOr<std::vector<TokenId>> EosIds(const GenerationConfig& generation,
                                            const GenerationConfig& config, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids = generation.eos_ids.empty() ? config.eos_ids : generation.eos_ids;
  if (tokenizer.eos_id()) ids.push_back(*tokenizer.eos_id());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (!ids.empty() && ids.back() >= tokenizer.vocabulary_size()) {
    return absl::InvalidArgumentError(absl::StrCat("eos_token_id ", ids.back(),
                                                   " is not in tokenizer.json, whose "
                                                   "largest id is ",
                                                   tokenizer.vocabulary_size() - 1));
  }
  return ids;
}

// The worker would refuse a prompt or a stop list with an id that the model lacks, as the client's fault.
absl::Status CheckVocabulary(const Tokenizer& tokenizer, const GenerationConfig& config) {
  if (!config.vocab_size || tokenizer.vocabulary_size() <= *config.vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json has ids up to ", tokenizer.vocabulary_size() - 1,
                   " and config.json's vocab_size is ", *config.vocab_size,
                   ": a prompt could hold tokens that the model lacks; the files don't belong together"));
}

// Reasoning that the prompt has no place for: before content it is as good as earlier reasoning; by itself it
// is what was to be continued.
absl::Status CheckUnused(const ChatTurn& continued) {
  if (continued.reasoning.empty() || !continued.content.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the last message's reasoning_content can't be continued: this model's prompt has no place for "
      "reasoning here; give content, or end with a user message");
}

using nlohmann::ordered_json;

// As templates know it: no key where there is nothing, since some ask only whether it is there.
ordered_json AsMessage(const ChatTurn& turn) {
  ordered_json message{{"role", turn.role}, {"content", turn.content}};
  for (const ToolCall& call : turn.tool_calls) {
    message["tool_calls"].push_back(
        ordered_json{{"id", call.id},
                     {"type", "function"},
                     {"function", ordered_json{{"name", call.name}, {"arguments", call.arguments}}}});
  }
  if (!turn.tool_call_id.empty()) message["tool_call_id"] = turn.tool_call_id;
  if (!turn.name.empty()) message["name"] = turn.name;
  return message;
}

ordered_json MessagesOf(std::span<const ChatTurn> turns) {
  ordered_json messages = ordered_json::array();
  for (const ChatTurn& turn : turns) messages.push_back(AsMessage(turn));
  return messages;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TextModel>> TextModel::Create(const v1::TextBundle& bundle) {
  const auto tokenizer_json = File(bundle, "tokenizer.json");
  if (!tokenizer_json) return absl::InvalidArgumentError("the text bundle has no tokenizer.json");
  QUIRE_RETURN_IF_ERROR(CheckNoneIsEmpty(bundle));
  const std::string_view tokenizer_config = File(bundle, "tokenizer_config.json").value_or("");
  std::shared_ptr<TextModel> model(new TextModel);
  QUIRE_ASSIGN_OR_RETURN(model->tokenizer_, Tokenizer::Create(*tokenizer_json, tokenizer_config));
  const auto template_file = File(bundle, kTemplateFile);
  auto chat_template = ChatTemplate::Parse(tokenizer_config, template_file);
  if (chat_template.ok()) {
    model->chat_template_ = *std::move(chat_template);
  } else if (!absl::IsNotFound(chat_template.status())) {
    return absl::InvalidArgumentError(absl::StrCat(template_file ? kTemplateFile : "tokenizer_config.json",
                                                   ": ", MessageOf(chat_template.status())));
  }
  QUIRE_ASSIGN_OR_RETURN(
      const GenerationConfig generation,
      ParseGenerationConfig(File(bundle, "generation_config.json").value_or(""), "generation_config.json"));
  QUIRE_ASSIGN_OR_RETURN(const GenerationConfig config,
                         ParseGenerationConfig(File(bundle, "config.json").value_or(""), "config.json"));
  QUIRE_RETURN_IF_ERROR(CheckVocabulary(*model->tokenizer_, config));
  QUIRE_ASSIGN_OR_RETURN(model->eos_ids_, EosIds(generation, config, *model->tokenizer_));
  model->defaults_ = generation.defaults;
  model->dtype_ = config.dtype.value_or("");
  model->think_start_id_ = model->tokenizer_->AddedToken("<think>");
  model->think_end_id_ = model->tokenizer_->AddedToken("</think>");
  if (model->chat_template_ != nullptr) model->FindTools();
  return model;
}

void TextModel::FindTools() {
  tool_form_ = FindToolForm(*chat_template_);
  tells_tools_ = tool_form_ == ToolForm::kNone && CanTellTools(*chat_template_);
  if (tells_tools_) tool_form_ = ToolForm::kHermes;
  parallel_calls_ = tells_tools_ || (tool_form_ != ToolForm::kNone && TakesParallelCalls(*chat_template_));
}

absl::StatusOr<OriginText> TextModel::RenderChat(std::span<const ChatTurn> turns, std::optional<bool> reasons,
                                                 const ordered_json& tools) const {
  if (tells_tools_ && HasTools(turns, tools)) return RenderChat(TellTools(turns, tools), reasons, nullptr);
  const bool continues = !turns.empty() && turns.back().role == "assistant";
  const ordered_json messages = MessagesOf(turns.first(turns.size() - (continues ? 1 : 0)));
  const ChatTurn nothing;
  const ChatTurn& continued = continues ? turns.back() : nothing;
  if (!reasons && !continued.reasoning.empty()) reasons = true;  // it did
  ordered_json extra;
  if (reasons) extra["enable_thinking"] = *reasons;
  QUIRE_ASSIGN_OR_RETURN(OriginText prompt, chat_template_->Render(messages, tools, true, extra));
  QUIRE_RETURN_IF_ERROR(AppendReasoning(continued, reasons == false, prompt));
  prompt.Append(continued.content, Origin::kUser);
  return prompt;
}

absl::StatusOr<OriginText> TextModel::RenderTurns(std::span<const ChatTurn> turns,
                                                  std::optional<bool> reasons,
                                                  const ordered_json& tools) const {
  if (tells_tools_ && HasTools(turns, tools)) return RenderTurns(TellTools(turns, tools), reasons, nullptr);
  ordered_json extra;
  if (reasons) extra["enable_thinking"] = *reasons;
  return chat_template_->Render(MessagesOf(turns), tools, false, extra);
}

// As models write it: <think>, a newline, the reasoning, a newline, </think> and an empty line.
absl::Status TextModel::AppendReasoning(const ChatTurn& continued, bool must_end, OriginText& prompt) const {
  if (!think_start_id_ || !think_end_id_) return CheckUnused(continued);
  QUIRE_ASSIGN_OR_RETURN(const ReasoningStart start, StartAfterTail(prompt));
  if (start.place == ReasoningStart::Place::kContent) return CheckUnused(continued);
  std::string_view reasoning = continued.reasoning;
  if (start.place == ReasoningStart::Place::kModelsChoice) {
    if (reasoning.empty()) return absl::OkStatus();
    prompt.Append("<think>\n", Origin::kTemplate);
  }
  const bool ends = must_end || !continued.content.empty();
  if (ends) {
    while (reasoning.ends_with('\n')) reasoning.remove_suffix(1);
  }
  prompt.Append(reasoning, Origin::kUser);
  if (ends) prompt.Append("\n</think>\n\n", Origin::kTemplate);
  return absl::OkStatus();
}

// Its last characters are enough: a generation prompt is short.
absl::StatusOr<ReasoningStart> TextModel::StartAfterTail(const OriginText& prompt) const {
  constexpr size_t kTailBytes = 512;
  size_t begin = prompt.size() - std::min(prompt.size(), kTailBytes);
  while (begin < prompt.size() && (prompt.text()[begin] & 0xC0) == 0x80) ++begin;
  QUIRE_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer_->Encode(prompt.Substr(begin)));
  return ReasoningStartAfter(ids);
}

ReasoningStart TextModel::ReasoningStartAfter(std::span<const TokenId> prompt) const {
  using Place = ReasoningStart::Place;
  if (!think_start_id_ || !think_end_id_) return {};
  const size_t last = prompt.size() - 1;
  for (size_t at = prompt.size(); at-- > 0;) {
    const TokenId id = prompt[at];
    if (id == *think_start_id_) return {.place = Place::kReasoning, .after_tag = at == last};
    if (id == *think_end_id_) return {.place = Place::kContent, .after_tag = at == last};
    if (tokenizer_->IsControl(id)) break;  // the turn's start
  }
  return {.place = Place::kModelsChoice};
}

}  // namespace quire::gateway
