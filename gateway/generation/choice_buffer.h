// The tokens of one choice on their way to the client: turned into text, told apart as reasoning, content and
// calls of tools, with stop strings cut out, and held until they may be written. Pure: no clock, no I/O; one
// per choice, part of an AnswerBuffer. Always: every token counts in exactly one piece or in the end; stop
// strings are looked for in content only, however it is said, and not in calls; one is never shown in part,
// and the token that completed it is the last that counts (or, where a call might have begun there, the one
// that showed that none does); what is taken never exceeds the room that was given.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "gateway/generation/loop_guard.h"
#include "gateway/generation/reasoning_split.h"
#include "gateway/generation/step.h"
#include "gateway/generation/tool_call_split.h"
#include "gateway/text/detokenizer.h"
#include "gateway/text/stop_matcher.h"

namespace quire::gateway {

struct ChoiceRules {
  std::vector<std::string> stops;
  // Sampling one of them ends the choice, and its own text is not part of the answer.
  std::vector<TokenId> stop_ids;
  ReasoningRules reasoning = {};
  bool loop_guard = false;
  CallRules calls = {};
  bool echo_alone = false;  // tokens count, and have no text; what ends it is its length
};

class ChoiceBuffer {
 public:
  ChoiceBuffer(uint32_t choice, const Tokenizer& tokenizer, const ChoiceRules& rules);

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
  void PushTag(TokenId id, std::optional<SampledToken> sampled);
  void PushText(TokenId id, std::optional<SampledToken> sampled);
  void PushContent(std::string text);
  void QueueParts(std::vector<ToolCallSplit::Part> parts);
  void Queue(PieceKind kind, std::string text);
  void Queue(Piece piece);
  void End(Ending::Kind kind);

  const uint32_t choice_;
  const Tokenizer& tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  const std::vector<TokenId> stop_ids_;
  const bool separate_, echo_alone_;
  ReasoningSplit split_;
  std::optional<ToolCallSplit> calls_;
  std::optional<LoopGuard> loop_guard_;
  uint64_t tokens_ = 0;
  uint32_t textless_ = 0;              // tokens whose text is empty or held back
  uint32_t textless_reasoning_ = 0;    // of them
  std::vector<SampledToken> sampled_;  // theirs, but of those that never have text
  std::deque<Piece> pieces_;
  uint64_t held_ = 0;  // positions of pieces_
  std::optional<ChoiceEnd> end_;
  bool end_taken_ = false;
};

}  // namespace quire::gateway
