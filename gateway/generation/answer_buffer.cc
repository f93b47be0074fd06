#include "gateway/generation/answer_buffer.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

const char* NameOf(Ending::Kind kind) {
  switch (kind) {
    case Ending::Kind::kStop:
      return "stop";
    case Ending::Kind::kLength:
      return "length";
    case Ending::Kind::kBudget:
      return "budget";
    case Ending::Kind::kRefused:
      return "refused";
    case Ending::Kind::kFailed:
      break;
  }
  return "error";
}

AnswerBuffer::AnswerBuffer(const Tokenizer& tokenizer, const ChoiceRules& rules, uint32_t choices) {
  choices_.reserve(choices);
  for (uint32_t i = 0; i < choices; ++i) choices_.emplace_back(i, tokenizer, rules);
}

void AnswerBuffer::Push(uint32_t choice, TokenId id, std::optional<SampledToken> sampled) {
  if (!failed()) choices_[choice].Push(id, std::move(sampled));
}

void AnswerBuffer::Finish(uint32_t choice, Ending::Kind kind) {
  if (!failed()) choices_[choice].Finish(kind);
}

void AnswerBuffer::Refuse(v1::Refusal refusal, v1::SettleReason reason) {
  End({.kind = Ending::Kind::kRefused, .reason = reason, .refusal = std::move(refusal)});
}

void AnswerBuffer::Fail(absl::Status error, v1::SettleReason reason) {
  End({.kind = Ending::Kind::kFailed, .reason = reason, .error = std::move(error)});
}

void AnswerBuffer::End(Ending failure) {
  if (!ending_taken_ && !failed()) failure_ = std::move(failure);
}

bool AnswerBuffer::ended() const {
  return failed() || std::all_of(choices_.begin(), choices_.end(), [](const auto& c) { return c.ended(); });
}

uint64_t AnswerBuffer::held() const {
  uint64_t held = 0;
  for (const ChoiceBuffer& choice : choices_) held += choice.held();
  return held;
}

Step AnswerBuffer::Take(uint64_t room, bool out_of_budget) {
  Step step;
  if (ending_taken_) return step;
  for (size_t i = 0; i < choices_.size(); ++i) {
    ChoiceBuffer& choice = choices_[(first_ + i) % choices_.size()];
    choice.TakePieces(room, step.pieces);
    if (failed()) continue;
    if (const auto end = choice.TakeEnd(room, out_of_budget)) {
      step.ends.push_back(*end);
      greatest_ = std::max(greatest_, end->kind);
      ++ends_taken_;
    }
  }
  first_ = (first_ + 1) % choices_.size();
  if (failed()) {
    step.ending = failure_;
  } else if (ends_taken_ == choices_.size()) {
    const bool cut = greatest_ == Ending::Kind::kBudget;
    step.ending = Ending{.kind = greatest_, .reason = cut ? v1::SETTLE_BUDGET : v1::SETTLE_COMPLETED};
  }
  ending_taken_ = step.ending.has_value();
  return step;
}

}  // namespace quire::gateway
