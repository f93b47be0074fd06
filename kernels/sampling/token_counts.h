// How often each token of a sequence came: what penalties look at, so that no step reads the whole sequence
// again. Owned by whoever owns the sequence's tokens and follows them: it is made of what the sequence begins
// with (resumed tokens, too), grows with each token, and shrinks where sampled ones are taken back. Written
// between steps, read by any sampling thread during one.
#pragma once

#include <cstdint>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "base/core/ids.h"

namespace quire::kernels {

struct TokenCount {
  int32_t output = 0;  // times among the sampled ones
  bool in_prompt = false;
};

class TokenCounts {
 public:
  void AddPrompt(std::span<const TokenId> ids) {
    for (const TokenId id : ids) counts_[id].in_prompt = true;
  }
  void AddOutput(TokenId id) { ++counts_[id].output; }
  // One that was added.
  void RemoveOutput(TokenId id);
  void Clear() { counts_.clear(); }

  // By id; of no others.
  const absl::flat_hash_map<TokenId, TokenCount>& counts() const { return counts_; }

  // At most, of a sequence of so many tokens and a vocabulary of so many ids.
  static int64_t BytesFor(int64_t tokens, int64_t ids);

 private:
  absl::flat_hash_map<TokenId, TokenCount> counts_;
};

}  // namespace quire::kernels
