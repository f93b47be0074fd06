// Stop strings over streamed text. One per choice of a request, one thread at a time. Always: no byte of a
// stop string is emitted before it is certain that it begins none; of several the one that ends first wins,
// and of those the longest; a held character is never split.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quire::gateway {

inline constexpr size_t kMaxStops = 16;

class StopMatcher {
 public:
  // At most kMaxStops, none empty (the gateway's validation sees to both).
  explicit StopMatcher(std::vector<std::string> stops);

  // The text that is now safe to emit. Push token by token: the first Push after which matched() holds is
  // that of the token that completed the stop; it returns all text before the stop, and later calls return
  // nothing.
  std::string Push(std::string_view text);
  // The stream ended without a stop: what was held back.
  std::string Flush();

  bool matched() const { return matched_.has_value(); }
  // Index of the stop string that matched.
  std::optional<size_t> matched_stop() const { return matched_; }
  // Bytes held back just now.
  size_t held_bytes() const { return held_.size(); }

 private:
  // One Knuth-Morris-Pratt automaton per stop: O(1) per byte whatever the text.
  struct Automaton {
    std::string stop;
    std::vector<size_t> fallback;
    size_t state = 0;  // bytes of the stop that the text's end matches
  };

  std::vector<Automaton> automata_;
  std::string held_;  // longest suffix of the text that may begin a stop
  std::optional<size_t> matched_;
};

}  // namespace quire::gateway
