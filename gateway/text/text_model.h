// Everything about text that one model's text bundle says: tokenizer, chat template, end ids, sampling
// defaults. Made when a bundle arrives, shared by the requests of that model; immutable, so any thread may
// call it. Always: a value comes from the checkpoint's own files, never from the model's name.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/core/ids.h"
#include "gateway/text/chat_template.h"
#include "gateway/text/chat_turn.h"
#include "gateway/text/config_files.h"
#include "gateway/text/reasoning_start.h"
#include "gateway/text/tokenizer.h"
#include "gateway/text/tool_form.h"

namespace quire::v1 {
class TextBundle;
}

namespace quire::gateway {

class TextModel {
 public:
  static absl::StatusOr<std::shared_ptr<const TextModel>> Create(const v1::TextBundle& bundle);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // Null for a checkpoint without one: it can't chat.
  const ChatTemplate* chat_template() const { return chat_template_.get(); }
  // Sampling any of them ends a choice: generation_config.json's, config.json's where that has none, and
  // tokenizer_config.json's. Sorted.
  std::span<const TokenId> eos_ids() const { return eos_ids_; }
  const GenerationDefaults& defaults() const { return defaults_; }
  // The checkpoint's, of its weights; empty where its config.json has none.
  const std::string& dtype() const { return dtype_; }
  // <think> and </think>, where the vocabulary has them as added tokens.
  std::optional<TokenId> think_start_id() const { return think_start_id_; }
  std::optional<TokenId> think_end_id() const { return think_end_id_; }

  // How the model writes calls of tools, as its template teaches it or, where that takes no tools, as its
  // system message does (told_tools.h); kNone where there is no place for them, and where there is no
  // chat_template().
  ToolForm tool_form() const { return tool_form_; }
  // Whether an answer of several calls can be told back; false too where there is no tool_form().
  bool parallel_calls() const { return parallel_calls_; }

  // A chat's prompt, for tokenizer().Encode; only where there is a chat_template(). An assistant's turn at
  // the end is to be continued, but the template would close it: so it renders the turns before, and what is
  // to be continued follows its generation prompt: text behind a closed reasoning, reasoning alone within it.
  // `reasons`: the template's enable_thinking; where it is false and the template begins to reason all the
  // same, that reasoning is closed at once. `tools`: a list of declarations, or null; of a tool_form() that
  // takes them. INVALID_ARGUMENT: the template doesn't take the turns.
  absl::StatusOr<OriginText> RenderChat(std::span<const ChatTurn> turns,
                                        std::optional<bool> reasons = std::nullopt,
                                        const nlohmann::ordered_json& tools = nullptr) const;
  // The turns alone, each of them closed as the template closes it: no answer is to follow.
  absl::StatusOr<OriginText> RenderTurns(std::span<const ChatTurn> turns, std::optional<bool> reasons,
                                         const nlohmann::ordered_json& tools) const;
  // By the last <think> or </think> of the turn that the prompt ends in. Always content where the vocabulary
  // lacks either.
  ReasoningStart ReasoningStartAfter(std::span<const TokenId> prompt) const;

 private:
  TextModel() = default;
  void FindTools();
  absl::StatusOr<ReasoningStart> StartAfterTail(const OriginText& prompt) const;
  absl::Status AppendReasoning(const ChatTurn& continued, bool must_end, OriginText& prompt) const;

  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const ChatTemplate> chat_template_;
  std::vector<TokenId> eos_ids_;
  GenerationDefaults defaults_;
  std::string dtype_;
  std::optional<TokenId> think_start_id_;
  std::optional<TokenId> think_end_id_;
  ToolForm tool_form_ = ToolForm::kNone;
  bool tells_tools_ = false;  // its template takes none
  bool parallel_calls_ = false;
};

}  // namespace quire::gateway
