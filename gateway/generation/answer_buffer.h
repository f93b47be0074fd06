// The tokens of one choice on their way to the client: turned into text, with stop strings cut out, and held
// until they may be written. Pure: no clock, no I/O; one per choice, one thread. Always: every token counts
// in exactly one piece or in the ending; a stop string is never shown in part, and the token that completed
// it is the last that counts; what is taken never exceeds the room that was given; one ending comes out,
// last.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/core/ids.h"
#include "gateway/text/detokenizer.h"
#include "gateway/text/stop_matcher.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

// Text to write, and the positions that count as delivered with it.
struct Piece {
  std::string text;
  uint32_t positions = 0;
};

struct Ending {
  enum class Kind { kStop, kLength, kBudget, kRefused, kFailed };
  Kind kind = Kind::kFailed;
  v1::SettleReason reason = v1::SETTLE_SERVER_ERROR;
  uint32_t positions = 0;    // of tokens without text, delivered with the terminal frame
  v1::Refusal refusal = {};  // kRefused
  absl::Status error = {};   // kFailed

  bool is_error() const { return kind == Kind::kRefused || kind == Kind::kFailed; }
};

// stop, length, budget; refused and error for what is no finish_reason.
const char* NameOf(Ending::Kind kind);

// What may be written now.
struct Step {
  std::vector<Piece> pieces;
  std::optional<Ending> ending;  // after the pieces; nothing comes after it

  bool empty() const { return pieces.empty() && !ending; }
};

class AnswerBuffer {
 public:
  // Sampling one of `stop_ids` ends the choice, and its own text is not part of the answer.
  AnswerBuffer(const Tokenizer& tokenizer, std::vector<std::string> stops, std::vector<TokenId> stop_ids);

  void Push(TokenId id);
  // The choice's own end. Ignored after another end, as Push is: the first one counts.
  void Finish(Ending::Kind kind);
  void Refuse(v1::Refusal refusal, v1::SettleReason reason);
  void Fail(absl::Status error, v1::SettleReason reason);

  bool ended() const { return ending_.has_value(); }
  bool failed() const { return ended() && ending_->is_error(); }
  uint64_t tokens() const { return tokens_; }
  // Positions whose text is here and was not taken yet. Tokens without text wait for nobody.
  uint64_t held() const { return held_; }

  // Takes what fits into `room` positions. An error doesn't wait for room: what does not fit before it is
  // dropped. `out_of_budget`: no more room will come, so the answer ends with kBudget where it is full.
  Step Take(uint64_t room, bool out_of_budget);

 private:
  void Queue(std::string text);
  void End(Ending ending);

  Detokenizer detokenizer_;
  StopMatcher matcher_;
  const std::vector<TokenId> stop_ids_;
  uint64_t tokens_ = 0;
  uint32_t textless_ = 0;  // tokens whose text is empty or held back
  std::deque<Piece> pieces_;
  uint64_t held_ = 0;  // positions of pieces_
  std::optional<Ending> ending_;
  bool ending_taken_ = false;
};

}  // namespace quire::gateway
