#include "base/core/token_price.h"

#include <algorithm>

namespace quire {

int64_t CostNanoUsd(const TokenPrice& price, const TokenCounts& counts) {
  if (counts.completion == 0) return 0;
  const uint64_t cached = std::min(counts.cached, counts.prompt);
  return static_cast<int64_t>(counts.prompt - cached) * price.prompt +
         static_cast<int64_t>(cached) * price.cached_prompt +
         static_cast<int64_t>(counts.completion) * price.completion;
}

int64_t HoldNanoUsd(const TokenPrice& price, uint64_t prompt_tokens, uint64_t positions) {
  // Which prompt tokens are cached is not known yet: hold the dearer of the two.
  return static_cast<int64_t>(prompt_tokens) * std::max(price.prompt, price.cached_prompt) +
         static_cast<int64_t>(positions) * price.completion;
}

}  // namespace quire
