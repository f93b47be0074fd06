// Where an answer begins, as the prompt's tail says it: inside the model's reasoning, in its content, or
// where the model may open its reasoning itself. Made by TextModel from a prompt's ids. Plain data.
#pragma once

#include <cstdint>

namespace quire::gateway {

struct ReasoningStart {
  enum class Place : uint8_t { kContent, kReasoning, kModelsChoice };
  Place place = Place::kContent;
  // The prompt's last token is <think> or </think>: newlines that follow are those that models write after
  // one.
  bool after_tag = false;
};

}  // namespace quire::gateway
