// Texts by a regular expression, a length, or names that they aren't, as a deterministic automaton over
// characters: so that any number of such rules for one string are one, and the workers' engine follows it at
// a cost that doesn't grow. Immutable once made; pure, any thread. Always: from every state some text goes on
// to an end, and no two edges of a state have a character in common; at most kMaxStates states.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/structured/code_points.h"
#include "gateway/structured/grammar_rules.h"
#include "gateway/structured/regex.h"

namespace quire::gateway {

// Where a text stands: by itself, or within a JSON string.
enum class TextPlace { kPlain, kJsonString };

class StringAutomaton {
 public:
  // The engine looks at all of a vocabulary for each.
  static constexpr size_t kMaxStates = 300;

  // ResourceExhausted: it takes more states.
  static absl::StatusOr<StringAutomaton> OfRegex(const RegexNode& regex);
  static absl::StatusOr<StringAutomaton> OfLengths(uint64_t min, std::optional<uint64_t> max);
  static absl::StatusOr<StringAutomaton> OfNoneOf(const std::vector<std::u32string>& names);
  absl::StatusOr<StringAutomaton> And(const StringAutomaton& other) const;

  // No text at all.
  bool empty() const { return states_.empty(); }
  bool Takes(std::u32string_view text) const;
  // Whether each text has so many characters.
  bool KeepsTo(uint64_t min, std::optional<uint64_t> max) const;

  // The name of a rule for these texts, in a JSON string to its closing quote. Not of an empty one.
  std::string Rule(TextPlace place, GrammarRules& rules) const;

 private:
  struct Edge {
    CodePoints on;
    size_t to;
  };
  struct State {
    std::vector<Edge> edges;
    bool may_end = false;
  };

  explicit StringAutomaton(std::vector<State> states) : states_(std::move(states)) {}
  static void Connect(const CodePoints& on, size_t to, State& from);
  // Without those that lead to no end.
  static StringAutomaton Pruned(const std::vector<State>& states);

  std::vector<State> states_;  // the first is where a text begins
};

}  // namespace quire::gateway
