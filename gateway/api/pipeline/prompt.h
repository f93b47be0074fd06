// What a door wants answered: a conversation that the model's chat template turns into text, text as it is,
// or token ids. Plain data.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/core/ids.h"
#include "gateway/api/pipeline/answer_format.h"
#include "gateway/text/chat_turn.h"

namespace quire::gateway {

struct ChatPrompt {
  std::vector<ChatTurn> turns;
  // Whether the model is to reason before it answers; nullopt: as its template has it.
  std::optional<bool> reasons;
  // Reasoning is told apart from content, as a door whose answers can say both wants it; else all is content,
  // as the model writes it.
  bool separate_reasoning = false;
  ToolRules tools = {};
  // What the template writes where an answer is to begin; without it the turns alone are rendered, the last
  // one as closed as the others.
  bool generation_prompt = true;
  const char* param = "messages";  // the field that they came in

  // The last turn is the assistant's: it is continued, not answered.
  bool ContinuesAssistant() const { return !turns.empty() && turns.back().role == "assistant"; }
};

// Its control tokens are read as such: whoever sends text without a template writes them himself.
struct TextPrompt {
  std::string text;
  // Before it what the checkpoint's tokenizer puts before a text: its start token, where it has one.
  bool add_special_tokens = true;
  std::string param = "prompt";  // the field that it came in
};

struct IdsPrompt {
  std::vector<TokenId> ids;
  std::string param = "prompt";
};

using Prompt = std::variant<ChatPrompt, TextPrompt, IdsPrompt>;

}  // namespace quire::gateway
