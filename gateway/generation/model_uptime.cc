#include "gateway/generation/model_uptime.h"

#include <algorithm>

namespace quire::gateway {

void ModelUptime::Saw(bool ready, int64_t now_us) {
  if (!changes_.empty() && changes_.back().ready == ready) return;
  if (changes_.size() == kMost) changes_.pop_front();
  changes_.push_back({now_us, ready});
}

std::optional<double> ModelUptime::Share(int64_t now_us) const {
  if (changes_.empty()) return std::nullopt;
  const int64_t begin_us = std::max(changes_.front().at_us, now_us - kWindowUs);
  if (now_us <= begin_us) return changes_.back().ready ? 1 : 0;
  int64_t ready_us = 0;
  for (size_t i = 0; i < changes_.size(); ++i) {
    if (!changes_[i].ready) continue;
    const int64_t end_us = i + 1 < changes_.size() ? changes_[i + 1].at_us : now_us;
    ready_us += std::max<int64_t>(0, end_us - std::max(changes_[i].at_us, begin_us));
  }
  return static_cast<double>(ready_us) / static_cast<double>(now_us - begin_us);
}

}  // namespace quire::gateway
