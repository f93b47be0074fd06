#include "gateway/generation/loop_guard.h"

#include <algorithm>

namespace quire::gateway {

bool LoopGuard::Push(TokenId id) {
  if (tail_.size() == 2 * kWindow) tail_.erase(tail_.begin(), tail_.end() - kWindow);
  tail_.push_back(id);
  return ++tokens_ % kEvery == 0 && TailRepeats();
}

// The prefix function of Knuth, Morris and Pratt over the window read backwards: the last n tokens have the
// period n - border(n), and no smaller one.
bool LoopGuard::TailRepeats() {
  const size_t size = std::min(tail_.size(), kWindow);
  if (size < kMinTokens) return false;
  const auto back = [&](size_t i) { return tail_[tail_.size() - 1 - i]; };
  borders_.assign(size, 0);
  for (size_t i = 1, border = 0; i < size; ++i) {
    while (border > 0 && back(i) != back(border)) border = borders_[border - 1];
    if (back(i) == back(border)) ++border;
    borders_[i] = static_cast<uint32_t>(border);
    const size_t length = i + 1, period = length - border;
    if (length >= kMinTokens && period <= kMaxPeriod && length >= kMinRounds * period) return true;
  }
  return false;
}

}  // namespace quire::gateway
