#include "worker/engine/reasoning_phase.h"

namespace quire::worker {

ReasoningPhase::ReasoningPhase(const std::optional<Reasoning>& reasoning)
    : reasoning_(reasoning.value_or(Reasoning())) {
  if (!reasoning) return;
  phase_ = reasoning_.start == Reasoning::Start::kInside ? Phase::kInside : Phase::kBefore;
}

bool ReasoningPhase::Follow(TokenId id) {
  switch (phase_) {
    case Phase::kBefore:
      phase_ = id == reasoning_.start_id ? Phase::kInside : Phase::kOver;
      return phase_ == Phase::kOver;
    case Phase::kInside:
      if (id == reasoning_.end_id) {
        phase_ = Phase::kOver;
      } else {
        ++tokens_;
      }
      return false;
    case Phase::kOver:
      break;
  }
  return true;
}

std::optional<TokenId> ReasoningPhase::opener() const {
  return phase_ == Phase::kBefore ? std::optional(reasoning_.start_id) : std::nullopt;
}

std::optional<TokenId> ReasoningPhase::forced() const {
  return phase_ == Phase::kInside && spent(tokens_) ? std::optional(reasoning_.end_id) : std::nullopt;
}

bool ReasoningPhase::next_decides() const {
  return (phase_ == Phase::kInside && spent(tokens_ + 1)) || (phase_ == Phase::kBefore && spent(0));
}

}  // namespace quire::worker
