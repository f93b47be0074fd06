// The answer to one request on its way to the client: its choices, each held until it may be written
// (choice_buffer.h), and how the request ends. Pure: no clock, no I/O; one per request, one thread. Always:
// what is taken never exceeds the room that was given; one ending comes out, last: when all choices have
// ended, or an error, which waits for nobody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gateway/generation/choice_buffer.h"
#include "gateway/generation/step.h"

namespace quire::gateway {

class AnswerBuffer {
 public:
  // The rules are of each of the choices, 1 or more.
  AnswerBuffer(const Tokenizer& tokenizer, const ChoiceRules& rules, uint32_t choices);

  uint32_t choices() const { return static_cast<uint32_t>(choices_.size()); }
  const ChoiceBuffer& choice(uint32_t choice) const { return choices_[choice]; }
  void Push(uint32_t choice, TokenId id, std::optional<SampledToken> sampled = std::nullopt);
  // A choice's own end.
  void Finish(uint32_t choice, Ending::Kind kind);
  // The first of these counts, unless an ending was taken before; it overtakes what was not taken yet.
  void Refuse(v1::Refusal refusal, v1::SettleReason reason);
  void Fail(absl::Status error, v1::SettleReason reason);

  // Nothing more comes: all choices have ended, or it failed.
  bool ended() const;
  bool failed() const { return failure_.has_value(); }
  // Positions whose text is here and was not taken yet.
  uint64_t held() const;

  // Takes what fits into `room` positions, the choices in turn. An error doesn't wait for room: what does not
  // fit before it is dropped. `out_of_budget`: no more room will come, so what is full ends with kBudget.
  Step Take(uint64_t room, bool out_of_budget);

 private:
  void End(Ending failure);

  std::vector<ChoiceBuffer> choices_;
  size_t first_ = 0;  // whose turn it is
  size_t ends_taken_ = 0;
  Ending::Kind greatest_ = Ending::Kind::kStop;  // of the ends that were taken
  std::optional<Ending> failure_;
  bool ending_taken_ = false;
};

}  // namespace quire::gateway
