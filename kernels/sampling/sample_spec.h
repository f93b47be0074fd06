// What a token is sampled by, and the token: plain data between the engine, which fills it in, and a
// backend's Sample. A spec points to what its owner keeps until the token is read.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/core/ids.h"
#include "kernels/sampling/token_counts.h"

namespace quire::kernels {

inline constexpr int32_t kMaxTopLogprobs = 20;

// What a request asked of sampling. Neutral defaults; ranges are validated by the gateway and checked again
// by worker/rpc.
struct SamplingParams {
  float temperature = 1.0f;  // 0 = greedy
  int32_t top_k = 0;         // 0 = off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // prompt and output
  float presence_penalty = 0.0f;    // output only
  float frequency_penalty = 0.0f;   // output only
  std::vector<std::pair<TokenId, float>> logit_bias = {};
  std::vector<TokenId> masked_ids = {};  // never sampled at this position (stop ids before min_tokens)
  bool logprobs = false;
  int32_t top_logprobs = 0;  // of so many of the likeliest ids, kMaxTopLogprobs at most; implies logprobs

  // Whether the tokens before the sampled one count.
  bool penalizes() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f;
  }
};

// All that a sampled token is a function of, beside the logits (ARCHITECTURE 5.2).
struct SampleSpec {
  SamplingParams params = {};
  uint64_t seed = 0;
  uint32_t choice = 0;
  uint32_t position = 0;                // index of the token to be sampled in the choice's output
  const TokenCounts* counts = nullptr;  // of the tokens before it, where the params penalize
  // Counted and yet not before this row: several rows of a sequence share its counts.
  std::span<const TokenId> uncounted = {};
  // A grammar's mask: a bit for each id that may be sampled here, id 0's the lowest of the first word; none
  // behind the last. Empty: every id may.
  std::span<const uint32_t> allowed = {};
  // Not -1: the token that came next is known, as of a prompt. Nothing is picked: it is the id, whose logprob
  // is asked for, -inf behind the ids that may be sampled. The params say how many of the likeliest, and no
  // more.
  TokenId scored = -1;
};

struct TokenLogprob {
  TokenId id = -1;
  float logprob = 0.0f;
};

struct SampledToken {
  TokenId id = -1;
  float logprob = 0.0f;  // of the raw logits
  // This row's logits were not finite, or no id may be sampled: the request fails, the others go on.
  bool failed = false;
  std::vector<TokenLogprob> top_logprobs = {};  // likeliest first, of the raw logits
};

}  // namespace quire::kernels
