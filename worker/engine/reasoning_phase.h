// Where a choice's reasoning begins and ends, and when its budget is used up: worked out from the choice's
// output alone, token by token, so that an attempt that resumes it goes on alike. Its Sequence owns it;
// engine thread only. What always holds: it ends once at most, and nothing opens another one.
#pragma once

#include <cstdint>
#include <optional>

#include "worker/engine/generation_request.h"

namespace quire::worker {

class ReasoningPhase {
 public:
  explicit ReasoningPhase(const std::optional<Reasoning>& reasoning);

  // Goes past the choice's next token. Whether it is of the answer: neither reasoning nor its start or end.
  bool Follow(TokenId id);
  // The next token is of the reasoning, or ends it.
  bool reasons() const { return phase_ == Phase::kInside; }
  // It may come in place of what the answer may begin with.
  std::optional<TokenId> opener() const;
  // The only id that may come next.
  std::optional<TokenId> forced() const;
  // What may come after the next token depends on that one.
  bool next_decides() const;

 private:
  enum class Phase { kBefore, kInside, kOver };

  bool spent(int64_t tokens) const { return reasoning_.max_tokens && tokens >= *reasoning_.max_tokens; }

  const Reasoning reasoning_;
  Phase phase_ = Phase::kOver;
  int64_t tokens_ = 0;  // of reasoning
};

}  // namespace quire::worker
