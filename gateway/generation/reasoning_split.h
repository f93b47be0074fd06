// Tells a choice's tokens apart: those of the model's reasoning, up to and with the first </think>, and those
// of its content. By token ids, never by text. Pure; one per choice, part of its ChoiceBuffer. Always: a
// function of the choice's tokens so far and of nothing else, so an answer that goes on elsewhere is told
// apart as the undisturbed one is; content never goes back to reasoning.
#pragma once

#include <optional>
#include <string>

#include "base/core/ids.h"
#include "gateway/generation/step.h"
#include "gateway/text/reasoning_start.h"

namespace quire::gateway {

struct ReasoningRules {
  std::optional<TokenId> start_id, end_id;  // <think> and </think>
  ReasoningStart start = {};
  // False: all of it is said as content, as the model writes it, its tags too.
  bool separate = true;
};

class ReasoningSplit {
 public:
  explicit ReasoningSplit(const ReasoningRules& rules);

  struct Part {
    PieceKind kind = PieceKind::kContent;  // what the token counts as
    bool is_tag = false;
  };
  Part Push(TokenId id);
  // What text that comes now is.
  PieceKind kind() const { return kind_; }
  // Newlines directly behind a tag are its, not the text's: taken off it.
  std::string TakeTagsNewlines(std::string& text);

 private:
  const ReasoningRules rules_;
  PieceKind kind_;
  bool may_open_;  // by the choice's first token
  bool after_tag_;
};

}  // namespace quire::gateway
