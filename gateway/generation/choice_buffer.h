// The tokens of one choice on their way to the client: turned into text, with stop strings cut out, and held
// until they may be written. Pure: no clock, no I/O; one per choice, part of an AnswerBuffer. Always: every
// token counts in exactly one piece or in the end; a stop string is never shown in part, and the token that
// completed it is the last that counts; what is taken never exceeds the room that was given.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "gateway/generation/step.h"
#include "gateway/text/detokenizer.h"
#include "gateway/text/stop_matcher.h"

namespace quire::gateway {

class ChoiceBuffer {
 public:
  // Sampling one of `stop_ids` ends the choice, and its own text is not part of the answer.
  ChoiceBuffer(uint32_t choice, const Tokenizer& tokenizer, std::vector<std::string> stops,
               std::vector<TokenId> stop_ids);

  // Both are ignored after an end: the first one counts. `sampled`: where logprobs were asked for.
  void Push(TokenId id, std::optional<SampledToken> sampled);
  void Finish(Ending::Kind kind);

  bool ended() const { return end_.has_value(); }
  uint64_t tokens() const { return tokens_; }
  // Positions whose text is here and was not taken yet. Tokens without text wait for nobody.
  uint64_t held() const { return held_; }

  // What fits into `room` positions, which shrinks by it.
  void TakePieces(uint64_t& room, std::vector<Piece>& pieces);
  // The end, once, where all pieces were taken and it fits. `out_of_budget`: no more room will come, so the
  // choice ends with kBudget where it is full.
  std::optional<ChoiceEnd> TakeEnd(uint64_t& room, bool out_of_budget);

 private:
  void Queue(std::string text);
  void End(Ending::Kind kind);

  const uint32_t choice_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  const std::vector<TokenId> stop_ids_;
  uint64_t tokens_ = 0;
  uint32_t textless_ = 0;              // tokens whose text is empty or held back
  std::vector<SampledToken> sampled_;  // theirs
  std::deque<Piece> pieces_;
  uint64_t held_ = 0;  // positions of pieces_
  std::optional<ChoiceEnd> end_;
  bool end_taken_ = false;
};

}  // namespace quire::gateway
