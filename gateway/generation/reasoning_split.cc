#include "gateway/generation/reasoning_split.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

ReasoningSplit::ReasoningSplit(const ReasoningRules& rules)
    : rules_(rules),
      kind_(rules.start.place == ReasoningStart::Place::kReasoning ? PieceKind::kReasoning
                                                                   : PieceKind::kContent),
      may_open_(rules.start.place != ReasoningStart::Place::kContent),
      after_tag_(rules.start.after_tag) {}

ReasoningSplit::Part ReasoningSplit::Push(TokenId id) {
  // Some models open once more what the prompt has opened.
  const bool opens = std::exchange(may_open_, false) && id == rules_.start_id;
  const bool closes = kind_ == PieceKind::kReasoning && id == rules_.end_id;
  if (!opens && !closes) return {.kind = kind_};
  kind_ = opens ? PieceKind::kReasoning : PieceKind::kContent;
  after_tag_ = true;
  return {.kind = PieceKind::kReasoning, .is_tag = true};
}

std::string ReasoningSplit::TakeTagsNewlines(std::string& text) {
  if (!after_tag_ || text.empty()) return {};
  const size_t count = std::min(text.find_first_not_of('\n'), text.size());
  after_tag_ = count == text.size();
  text.erase(0, count);
  return std::string(count, '\n');
}

}  // namespace quire::gateway
