#include "kernels/sampling/token_counts.h"

#include <algorithm>
#include <utility>

namespace quire::kernels {

void TokenCounts::RemoveOutput(TokenId id) {
  const auto found = counts_.find(id);
  if (found == counts_.end() || found->second.output == 0) return;
  --found->second.output;
  if (found->second.output == 0 && !found->second.in_prompt) counts_.erase(found);
}

int64_t TokenCounts::BytesFor(int64_t tokens, int64_t ids) {
  // A byte beside each place; places are a power of two of which 7/8 may be taken. While they double, the old
  // ones are there, too.
  constexpr int64_t kPlace = sizeof(std::pair<TokenId, TokenCount>) + 1;
  const int64_t places = std::min(tokens, ids) * 16 / 7 + 1;
  return places * kPlace * 3 / 2;
}

}  // namespace quire::kernels
