// What a request's handler may write now: pieces of its choices' text, the ends of choices, and at last how
// the request ended. Plain data, moved from Generation to a door's writer. Always: a choice's end comes after
// its last piece, and once; nothing comes after the ending.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/core/ids.h"
#include "gateway/generation/prompt_scores.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {

// What a text is of: the answer itself, the model's reasoning before it, or the arguments of a tool's call.
enum class PieceKind : uint8_t { kContent, kReasoning, kToolCall };

// Of a kToolCall: the call's first piece names it, and its text may be empty; the texts of all its pieces
// together are one JSON object.
struct CallPart {
  uint32_t index = 0;     // 0, 1, 2 in its choice
  std::string name = {};  // in the first piece only
};

// Text to write, and the positions that count as delivered with it.
struct Piece {
  uint32_t choice = 0;
  std::string text;
  uint32_t positions = 0;
  std::vector<SampledToken> tokens = {};  // whose text this is, where the request asked for logprobs
  PieceKind kind = PieceKind::kContent;
  uint32_t reasoning_positions = 0;  // of the positions; content may bring those of </think> along
  CallPart call = {};                // of a kToolCall
};

struct Ending {
  enum class Kind { kStop, kLength, kBudget, kRefused, kFailed };
  Kind kind = Kind::kFailed;  // of a request whose choices have all ended: the greatest of theirs
  v1::SettleReason reason = v1::SETTLE_SERVER_ERROR;
  v1::Refusal refusal = {};  // kRefused
  absl::Status error = {};   // kFailed

  bool is_error() const { return kind == Kind::kRefused || kind == Kind::kFailed; }
};

struct ChoiceEnd {
  uint32_t choice = 0;
  Ending::Kind kind = Ending::Kind::kStop;  // or kLength, kBudget
  uint32_t positions = 0;                   // of tokens without text, delivered with it
  uint32_t reasoning_positions = 0;         // of these
  bool loop = false;                        // a kLength: the loop guard ended it
  bool called_tools = false;                // a kStop behind one whole call or more
  std::optional<size_t> stop = {};          // which of the stop strings it was
};

// stop, length, budget; refused and error for what is no finish_reason.
const char* NameOf(Ending::Kind kind);

// The scores of the prompt whose first choice this is: they come with the first of its choices' pieces and
// ends.
struct ScoredPrompt {
  uint32_t choice = 0;
  std::shared_ptr<const PromptScores> scores;
};

struct Step {
  std::vector<ScoredPrompt> prompts;  // before all else; no step is of these alone
  std::vector<Piece> pieces;
  std::vector<ChoiceEnd> ends;  // after the pieces
  std::optional<Ending> ending;

  bool empty() const { return pieces.empty() && ends.empty() && !ending; }
  bool is_error_alone() const { return pieces.empty() && ends.empty() && ending && ending->is_error(); }
};

}  // namespace quire::gateway
