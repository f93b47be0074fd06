// Notices that a choice has begun to say the same over and over: its last tokens are one sequence, repeated.
// Pure; one per choice that asked for it. Always: a function of the choice's token ids and of nothing else
// (not of how they came), so an answer that goes on elsewhere ends where the undisturbed one does; memory is
// bounded, and a token costs the same however long the answer is.
#pragma once

#include <cstdint>
#include <vector>

#include "base/core/ids.h"

namespace quire::gateway {

class LoopGuard {
 public:
  // A loop is a tail of at least kMinTokens that is a sequence of up to kMaxPeriod tokens, at least
  // kMinRounds times. It is looked for every kEvery tokens.
  static constexpr size_t kMinTokens = 512, kMaxPeriod = 256, kMinRounds = 4, kEvery = 64;

  // Whether the choice is in a loop with this token.
  bool Push(TokenId id);

 private:
  static constexpr size_t kWindow = kMaxPeriod * kMinRounds;

  bool TailRepeats();

  std::vector<TokenId> tail_;      // the last tokens, kWindow of them once there are
  std::vector<uint32_t> borders_;  // of the tail read backwards: scratch
  uint64_t tokens_ = 0;
};

}  // namespace quire::gateway
