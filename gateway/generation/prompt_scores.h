// Tokens as the model weighed them: sampled ones, and, gathered from what its groups say, a prompt's own.
// Plain data; the gathering belongs to a Generation's coroutine, and is shared unchanged once it is whole.
// Always: what was gathered is the beginning of the whole, whichever attempt brought it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/core/ids.h"
#include "proto/inference.pb.h"

namespace quire::gateway {

// What stands for the logarithm of a probability of 0, which neither JSON nor a client's sum can take:
// OpenAI's.
inline constexpr float kLeastLogprob = -9999;

// Natural logarithms of probabilities, of the raw logits.
struct TokenChance {
  TokenId id = 0;
  float logprob = 0;
};
struct SampledToken {
  TokenChance token;
  std::vector<TokenChance> top = {};  // the likeliest in its place, likeliest first
};

// Whether a worker's are the logarithms of probabilities: at most 0, and numbers, though of 0 that is -inf.
bool AreLogprobs(const google::protobuf::RepeatedField<float>& logprobs);
bool AreLogprobs(const google::protobuf::RepeatedPtrField<v1::TopLogprobs>& tops);
// Of such a one.
TokenChance ChanceOf(TokenId id, float logprob);

class PromptScores {
 public:
  // Of a prompt of at least one token; of the first there is no score.
  PromptScores(std::vector<TokenId> ids, uint32_t top) : ids_(std::move(ids)), top_each_(top) {}

  const std::vector<TokenId>& ids() const { return ids_; }
  uint32_t top_each() const { return top_each_; }
  // The token at the next position is the first that lacks its score.
  size_t next() const { return 1 + own_.size(); }
  bool whole() const { return next() >= ids_.size(); }
  // False, and nothing changed, where they are not what comes next, or no logarithms of probabilities.
  bool Append(const v1::PromptScores& more);
  // Of one below next(), not the first.
  SampledToken At(size_t position) const;

 private:
  std::vector<TokenId> ids_;
  uint32_t top_each_;
  std::vector<float> own_;        // of the second token and so on
  std::vector<TokenChance> top_;  // top_each_ of each
};

}  // namespace quire::gateway
