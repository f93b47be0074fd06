#include "gateway/structured/string_automaton.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "gateway/structured/ebnf.h"

namespace quire::gateway {
namespace {

absl::Status TooManyStates() {
  return absl::ResourceExhaustedError(
      "the engine would need too many states for it: make the pattern simpler, or the length less");
}

// A regular expression's states before they are made deterministic: each has an edge, or goes on to others
// without a character.
class Nondeterministic {
 public:
  struct State {
    CodePoints on;  // empty: `next` are gone to without a character
    std::vector<size_t> next;
  };

  // False: too many.
  bool Make(const RegexNode& regex) {
    start_ = New();
    end_ = Add(regex, start_);
    return !full_;
  }
  size_t start() const { return start_; }
  size_t end() const { return end_; }
  const State& state(size_t index) const { return states_[index]; }

  // With all that is gone to without a character.
  std::set<size_t> Closure(std::set<size_t> states) const {
    std::vector<size_t> open(states.begin(), states.end());
    while (!open.empty()) {
      const State& state = states_[open.back()];
      open.pop_back();
      if (!state.on.empty()) continue;
      for (const size_t next : state.next) {
        if (states.insert(next).second) open.push_back(next);
      }
    }
    return states;
  }

 private:
  static constexpr size_t kMaxParts = 20'000;

  size_t New() {
    full_ = full_ || states_.size() >= kMaxParts;
    if (!full_) states_.emplace_back();
    return states_.size() - 1;
  }

  // From a state without edges; gives the state behind the expression, which has none.
  size_t Add(const RegexNode& regex, size_t from) {
    if (full_) return from;
    switch (regex.kind) {
      case RegexNode::Kind::kCharacters: {
        const size_t to = New();
        states_[from] = {regex.characters, {to}};
        return to;
      }
      case RegexNode::Kind::kSequence:
        for (const RegexNode& part : regex.parts) from = Add(part, from);
        return from;
      case RegexNode::Kind::kRepeat:
        return AddRepeat(regex, from);
      case RegexNode::Kind::kAnyOf:
        break;
    }
    std::vector<size_t> ends;
    for (const RegexNode& part : regex.parts) {
      const size_t begin = New();
      states_[from].next.push_back(begin);
      ends.push_back(Add(part, begin));
    }
    const size_t to = New();
    for (const size_t end : ends) states_[end].next.push_back(to);
    return to;
  }

  size_t AddRepeat(const RegexNode& regex, size_t from) {
    const RegexNode& one = regex.parts.front();
    for (uint64_t i = 0; i < regex.min && !full_; ++i) from = Add(one, from);
    const size_t to = New();
    if (!regex.max) {
      const size_t loop = New(), begin = New();
      states_[from].next.push_back(loop);
      states_[loop].next = {begin, to};
      const size_t end = Add(one, begin);
      states_[end].next.push_back(loop);
      return to;
    }
    states_[from].next.push_back(to);
    for (uint64_t i = regex.min; i < *regex.max && !full_; ++i) {
      const size_t begin = New();
      states_[from].next.push_back(begin);
      from = Add(one, begin);
      states_[from].next.push_back(to);
    }
    return to;
  }

  std::vector<State> states_;
  size_t start_ = 0, end_ = 0;
  bool full_ = false;
};

// Makes states of sets of others, each once.
template <typename Key>
class Numbered {
 public:
  size_t Of(const Key& key) {
    const auto [found, is_new] = numbers_.emplace(key, keys_.size());
    if (is_new) keys_.push_back(key);
    return found->second;
  }
  size_t size() const { return keys_.size(); }
  Key at(size_t index) const { return keys_[index]; }

 private:
  std::map<Key, size_t> numbers_;
  std::vector<Key> keys_;
};

using Targets = std::vector<std::pair<CodePoints, std::set<size_t>>>;

// So that no character is in two.
void AddTarget(CodePoints on, size_t to, Targets& targets) {
  Targets split;
  for (auto& [had, whose] : targets) {
    const CodePoints both = had.And(on);
    const CodePoints alone = had.Without(on);
    on = on.Without(had);
    if (!both.empty()) {
      std::set<size_t> with = whose;
      with.insert(to);
      split.emplace_back(both, std::move(with));
    }
    if (!alone.empty()) split.emplace_back(alone, whose);
  }
  if (!on.empty()) split.emplace_back(std::move(on), std::set<size_t>{to});
  targets = std::move(split);
}

}  // namespace

void StringAutomaton::Connect(const CodePoints& on, size_t to, State& from) {
  const auto found = std::ranges::find(from.edges, to, &Edge::to);
  if (found == from.edges.end()) {
    from.edges.push_back({on, to});
  } else {
    found->on = found->on.Or(on);
  }
}

absl::StatusOr<StringAutomaton> StringAutomaton::OfRegex(const RegexNode& regex) {
  Nondeterministic parts;
  if (!parts.Make(regex)) return TooManyStates();
  Numbered<std::set<size_t>> sets;
  sets.Of(parts.Closure({parts.start()}));
  std::vector<State> states;
  for (size_t i = 0; i < sets.size(); ++i) {
    if (i >= 4 * kMaxStates) return TooManyStates();
    const std::set<size_t> set = sets.at(i);
    State& state = states.emplace_back();
    state.may_end = set.contains(parts.end());
    Targets targets;
    for (const size_t part : set) {
      if (!parts.state(part).on.empty())
        AddTarget(parts.state(part).on, parts.state(part).next.front(), targets);
    }
    for (const auto& [on, to] : targets) Connect(on, sets.Of(parts.Closure(to)), state);
  }
  StringAutomaton pruned = Pruned(states);
  if (pruned.states_.size() > kMaxStates) return TooManyStates();
  return pruned;
}

absl::StatusOr<StringAutomaton> StringAutomaton::OfLengths(uint64_t min, std::optional<uint64_t> max) {
  const uint64_t last = max.value_or(min);
  if (std::max(min, last) >= kMaxStates) return TooManyStates();
  if (last < min) return StringAutomaton({});
  std::vector<State> states(last + 1);
  for (uint64_t i = 0; i <= last; ++i) {
    states[i].may_end = i >= min;
    if (i < last) states[i].edges.push_back({CodePoints::All(), i + 1});
  }
  if (!max) states[last].edges.push_back({CodePoints::All(), last});
  return StringAutomaton(std::move(states));
}

absl::StatusOr<StringAutomaton> StringAutomaton::OfNoneOf(const std::vector<std::u32string>& names) {
  std::vector<State> states(2);
  states[0].may_end = states[1].may_end = true;
  states[1].edges.push_back({CodePoints::All(), 1});  // where no name can follow any more
  std::vector<std::map<char32_t, size_t>> begun(2);
  for (const std::u32string& name : names) {
    size_t at = 0;
    for (const char32_t c : name) {
      const auto [next, is_new] = begun[at].emplace(c, states.size());
      if (is_new) {
        if (states.size() >= kMaxStates) return TooManyStates();
        states.push_back({.edges = {}, .may_end = true});
        begun.emplace_back();
      }
      at = next->second;
    }
    states[at].may_end = false;
  }
  for (size_t i = 0; i < states.size(); ++i) {
    if (i == 1) continue;
    std::vector<CodePoints::Range> taken;
    for (const auto& [c, to] : begun[i]) {
      taken.push_back({c, c});
      states[i].edges.push_back({CodePoints({{c, c}}), to});
    }
    states[i].edges.push_back({CodePoints::All().Without(CodePoints(std::move(taken))), 1});
  }
  return StringAutomaton(std::move(states));
}

absl::StatusOr<StringAutomaton> StringAutomaton::And(const StringAutomaton& other) const {
  if (empty() || other.empty()) return StringAutomaton({});
  Numbered<std::pair<size_t, size_t>> pairs;
  pairs.Of({0, 0});
  std::vector<State> states;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i >= 4 * kMaxStates) return TooManyStates();
    const auto [mine, its] = pairs.at(i);
    State& state = states.emplace_back();
    state.may_end = states_[mine].may_end && other.states_[its].may_end;
    for (const Edge& edge : states_[mine].edges) {
      for (const Edge& its_edge : other.states_[its].edges) {
        const CodePoints on = edge.on.And(its_edge.on);
        if (!on.empty()) Connect(on, pairs.Of({edge.to, its_edge.to}), state);
      }
    }
  }
  StringAutomaton pruned = Pruned(states);
  if (pruned.states_.size() > kMaxStates) return TooManyStates();
  return pruned;
}

StringAutomaton StringAutomaton::Pruned(const std::vector<State>& states) {
  std::vector<bool> ends(states.size());
  for (bool more = true; more;) {
    more = false;
    for (size_t i = states.size(); i-- > 0;) {
      const bool now = states[i].may_end ||
                       std::ranges::any_of(states[i].edges, [&](const Edge& edge) { return ends[edge.to]; });
      more = more || (now && !ends[i]);
      ends[i] = ends[i] || now;
    }
  }
  if (states.empty() || !ends[0]) return StringAutomaton({});
  std::vector<size_t> numbers(states.size());
  size_t kept = 0;
  for (size_t i = 0; i < states.size(); ++i) numbers[i] = ends[i] ? kept++ : 0;
  std::vector<State> left;
  for (size_t i = 0; i < states.size(); ++i) {
    if (!ends[i]) continue;
    State& state = left.emplace_back();
    state.may_end = states[i].may_end;
    for (const Edge& edge : states[i].edges) {
      if (ends[edge.to]) state.edges.push_back({edge.on, numbers[edge.to]});
    }
  }
  return StringAutomaton(std::move(left));
}

bool StringAutomaton::Takes(std::u32string_view text) const {
  if (empty()) return false;
  size_t at = 0;
  for (const char32_t c : text) {
    const auto& edges = states_[at].edges;
    const auto next = std::ranges::find_if(edges, [c](const Edge& edge) { return edge.on.Has(c); });
    if (next == edges.end()) return false;
    at = next->to;
  }
  return states_[at].may_end;
}

bool StringAutomaton::KeepsTo(uint64_t min, std::optional<uint64_t> max) const {
  std::set<size_t> at = {0};  // behind so many characters
  for (uint64_t length = 0; !at.empty(); ++length) {
    const bool ends = std::ranges::any_of(at, [&](size_t state) { return states_[state].may_end; });
    if (ends && length < min) return false;
    // From each state some text goes on to an end.
    if (max && length > *max) return false;
    if (!max && length >= min) return true;
    if (length > states_.size()) return false;  // it has a circle, so there is a longer one than any
    std::set<size_t> next;
    for (const size_t state : at) {
      for (const Edge& edge : states_[state].edges) next.insert(edge.to);
    }
    at = std::move(next);
  }
  return true;
}

std::string StringAutomaton::Rule(TextPlace place, GrammarRules& rules) const {
  std::vector<std::string> names;
  for (size_t i = 0; i < states_.size(); ++i) names.push_back(rules.NewName());
  for (size_t i = 0; i < states_.size(); ++i) {
    std::vector<GrammarRules::Choice> choices;
    if (states_[i].may_end) choices.push_back({place == TextPlace::kJsonString ? "\"\\\"\"" : "\"\""});
    for (const Edge& edge : states_[i].edges) {
      for (const std::string& one : EbnfCharacters(edge.on, place == TextPlace::kJsonString)) {
        choices.push_back({absl::StrCat(one, " ", names[edge.to])});
      }
    }
    rules.Define(names[i], std::move(choices));
  }
  return names.front();
}

}  // namespace quire::gateway
