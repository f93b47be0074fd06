#include "gateway/text/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace quire::gateway {
namespace {

// fallback[n]: the longest proper prefix of the stop's first n bytes that is also their suffix.
std::vector<size_t> Fallbacks(const std::string& stop) {
  std::vector<size_t> fallback(stop.size() + 1, 0);
  for (size_t end = 1, length = 0; end < stop.size(); ++end) {
    while (length > 0 && stop[end] != stop[length]) length = fallback[length];
    if (stop[end] == stop[length]) ++length;
    fallback[end + 1] = length;
  }
  return fallback;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& stop : stops) {
    std::vector<size_t> fallback = Fallbacks(stop);
    automata_.push_back({std::move(stop), std::move(fallback)});
  }
}

std::string StopMatcher::Push(std::string_view text) {
  if (matched_) return {};
  for (size_t i = 0; i < text.size(); ++i) {
    held_ += text[i];
    size_t longest = 0;
    for (size_t index = 0; index < automata_.size(); ++index) {
      Automaton& a = automata_[index];
      while (a.state > 0 && a.stop[a.state] != text[i]) a.state = a.fallback[a.state];
      if (a.stop[a.state] == text[i]) ++a.state;
      if (a.state < a.stop.size() || a.state <= longest) continue;
      longest = a.state;
      matched_ = index;
    }
    if (!matched_) continue;
    std::string before = held_.substr(0, held_.size() - longest);
    held_.clear();
    return before;
  }
  size_t keep = 0;
  for (const Automaton& a : automata_) keep = std::max(keep, a.state);
  std::string safe = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return safe;
}

std::string StopMatcher::Flush() {
  for (Automaton& a : automata_) a.state = 0;
  return std::exchange(held_, {});
}

}  // namespace quire::gateway
