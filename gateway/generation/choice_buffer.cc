#include "gateway/generation/choice_buffer.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {

ChoiceBuffer::ChoiceBuffer(uint32_t choice, const Tokenizer& tokenizer, std::vector<std::string> stops,
                           std::vector<TokenId> stop_ids)
    : choice_(choice),
      detokenizer_(tokenizer, /*skip_special_tokens=*/true),
      matcher_(std::move(stops)),
      stop_ids_(std::move(stop_ids)) {}

void ChoiceBuffer::Push(TokenId id, std::optional<SampledToken> sampled) {
  if (ended()) return;
  ++tokens_;
  ++textless_;
  if (std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end()) return;
  if (sampled) sampled_.push_back(*std::move(sampled));
  Queue(matcher_.Push(detokenizer_.Push(id)));
  if (matcher_.matched()) End(Ending::Kind::kStop);
}

void ChoiceBuffer::Finish(Ending::Kind kind) {
  if (ended()) return;
  std::string rest = matcher_.Push(detokenizer_.Flush());
  rest += matcher_.Flush();
  Queue(std::move(rest));
  End(kind);
}

void ChoiceBuffer::Queue(std::string text) {
  if (text.empty()) return;
  held_ += textless_;
  pieces_.push_back({.choice = choice_,
                     .text = std::move(text),
                     .positions = std::exchange(textless_, 0),
                     .tokens = std::exchange(sampled_, {})});
}

void ChoiceBuffer::End(Ending::Kind kind) {
  end_ = ChoiceEnd{.choice = choice_, .kind = kind, .positions = std::exchange(textless_, 0)};
}

void ChoiceBuffer::TakePieces(uint64_t& room, std::vector<Piece>& pieces) {
  if (end_taken_) return;
  while (!pieces_.empty() && pieces_.front().positions <= room) {
    room -= pieces_.front().positions;
    held_ -= pieces_.front().positions;
    pieces.push_back(std::move(pieces_.front()));
    pieces_.pop_front();
  }
}

std::optional<ChoiceEnd> ChoiceBuffer::TakeEnd(uint64_t& room, bool out_of_budget) {
  if (end_taken_) return std::nullopt;
  const bool all_fits = pieces_.empty() && (!end_ || end_->positions <= room);
  if (out_of_budget && (!all_fits || (!ended() && room == 0))) {
    end_ = ChoiceEnd{.choice = choice_, .kind = Ending::Kind::kBudget};
    held_ = 0;
  } else if (!ended() || !all_fits) {
    return std::nullopt;
  }
  end_taken_ = true;
  room -= end_->positions;
  return end_;
}

}  // namespace quire::gateway
