// What tokens cost, in integer nano-dollars: the one formula that the gateway's usage and the ledger's
// postings share, so that they agree to the last unit. Plain data and pure functions, any thread.
#pragma once

#include <cstdint>

namespace quire {

struct TokenPrice {  // nano-dollars per token
  uint64_t version = 0;
  int64_t prompt = 0;
  int64_t cached_prompt = 0;
  int64_t completion = 0;

  bool operator==(const TokenPrice&) const = default;
};

// How many positions of a choice may be delivered. One that asks for no tokens (max_tokens 0) has one all the
// same: its prompt's echo, which bills the prompt and is no token of a completion.
constexpr uint64_t PositionsEach(uint64_t max_tokens) { return max_tokens > 0 ? max_tokens : 1; }

struct TokenCounts {
  uint64_t prompt = 0;      // all prompt tokens, the cached ones among them
  uint64_t cached = 0;      // at most `prompt`
  uint64_t completion = 0;  // positions delivered, over all choices

  bool operator==(const TokenCounts&) const = default;
};

// With these bounds no sum of one request's costs can overflow.
inline constexpr uint64_t kMaxTokensPerRequest = uint64_t{1} << 24;
inline constexpr int64_t kMaxPricePerToken = 1'000'000'000;  // one dollar

// The cost of what was delivered. The prompt is billed with the first delivered token, so nothing delivered
// costs nothing.
int64_t CostNanoUsd(const TokenPrice& price, const TokenCounts& counts);

// The most that a request can cost once `positions` tokens of it may be delivered: what the ledger holds.
int64_t HoldNanoUsd(const TokenPrice& price, uint64_t prompt_tokens, uint64_t positions);

}  // namespace quire
