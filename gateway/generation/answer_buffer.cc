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

AnswerBuffer::AnswerBuffer(const Tokenizer& tokenizer, std::vector<std::string> stops,
                           std::vector<TokenId> stop_ids)
    : detokenizer_(tokenizer, /*skip_special_tokens=*/true),
      matcher_(std::move(stops)),
      stop_ids_(std::move(stop_ids)) {}

void AnswerBuffer::Push(TokenId id) {
  if (ended()) return;
  ++tokens_;
  ++textless_;
  if (std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end()) return;
  Queue(matcher_.Push(detokenizer_.Push(id)));
  if (matcher_.matched()) End({.kind = Ending::Kind::kStop, .reason = v1::SETTLE_COMPLETED});
}

void AnswerBuffer::Finish(Ending::Kind kind) {
  if (ended()) return;
  std::string rest = matcher_.Push(detokenizer_.Flush());
  rest += matcher_.Flush();
  Queue(std::move(rest));
  End({.kind = kind, .reason = v1::SETTLE_COMPLETED});
}

void AnswerBuffer::Refuse(v1::Refusal refusal, v1::SettleReason reason) {
  End({.kind = Ending::Kind::kRefused, .reason = reason, .refusal = std::move(refusal)});
}

void AnswerBuffer::Fail(absl::Status error, v1::SettleReason reason) {
  End({.kind = Ending::Kind::kFailed, .reason = reason, .error = std::move(error)});
}

void AnswerBuffer::Queue(std::string text) {
  if (text.empty()) return;
  held_ += textless_;
  pieces_.push_back({std::move(text), std::exchange(textless_, 0)});
}

// The first end counts, but a failure overtakes an end that nobody has seen yet.
void AnswerBuffer::End(Ending ending) {
  if (ended() && (ending_taken_ || failed() || !ending.is_error())) return;
  if (!ending.is_error()) ending.positions = std::exchange(textless_, 0);
  ending_ = std::move(ending);
}

Step AnswerBuffer::Take(uint64_t room, bool out_of_budget) {
  Step step;
  if (ending_taken_) return step;
  while (!pieces_.empty() && pieces_.front().positions <= room) {
    room -= pieces_.front().positions;
    held_ -= pieces_.front().positions;
    step.pieces.push_back(std::move(pieces_.front()));
    pieces_.pop_front();
  }
  const bool all_fits = pieces_.empty() && (!ending_ || ending_->positions <= room);
  if (!failed() && out_of_budget && (!all_fits || (!ended() && room == 0))) {
    ending_ = Ending{.kind = Ending::Kind::kBudget, .reason = v1::SETTLE_BUDGET};
  } else if (!ended() || (!failed() && !all_fits)) {
    return step;
  }
  ending_taken_ = true;
  step.ending = ending_;
  return step;
}

}  // namespace quire::gateway
