#include "gateway/structured/regex.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quire::gateway {
namespace {

std::string Joined(const std::vector<RegexNode>& parts, TextPlace place, const char* separator) {
  std::vector<std::string> texts;
  for (const RegexNode& part : parts) texts.push_back(RegexText(part, place));
  return absl::StrCat("(?:", absl::StrJoin(texts, separator), ")");
}

bool IsOfOneCharacter(const RegexNode& node) {
  return node.kind == RegexNode::Kind::kRepeat && node.parts.front().kind == RegexNode::Kind::kCharacters;
}

LengthRange Sum(const LengthRange& a, const LengthRange& b) {
  LengthRange sum{.min = a.min + b.min, .max = std::nullopt};
  if (a.max && b.max) sum.max = *a.max + *b.max;
  return sum;
}

// Nested repetitions would overflow.
uint64_t Product(uint64_t a, uint64_t b) {
  constexpr uint64_t kMany = uint64_t{1} << 40;
  return a != 0 && b > kMany / a ? kMany : a * b;
}

LengthRange LengthOfChoices(const std::vector<RegexNode>& parts) {
  LengthRange all = LengthOf(parts.front());
  for (const RegexNode& part : parts) {
    const LengthRange one = LengthOf(part);
    all.min = std::min(all.min, one.min);
    all.max = all.max && one.max ? std::optional(std::max(*all.max, *one.max)) : std::nullopt;
  }
  return all;
}

using Places = std::set<size_t>;

// Finds where matches end, from all places at once.
class Matcher {
 public:
  explicit Matcher(std::u32string_view text) : text_(text) {}

  // Where those end that begin at one of the places; nothing where it took too long.
  Places Ends(const RegexNode& regex, const Places& begins) {
    steps_ += static_cast<int64_t>(begins.size()) + 1;
    if (tired()) return {};
    Places ends;
    switch (regex.kind) {
      case RegexNode::Kind::kCharacters:
        for (const size_t at : begins) {
          if (at < text_.size() && regex.characters.Has(text_[at])) ends.insert(at + 1);
        }
        return ends;
      case RegexNode::Kind::kRepeat:
        return EndsOfRepeat(regex, begins);
      case RegexNode::Kind::kAnyOf:
        for (const RegexNode& part : regex.parts) ends.merge(Ends(part, begins));
        return ends;
      case RegexNode::Kind::kSequence:
        break;
    }
    ends = begins;
    for (const RegexNode& part : regex.parts) ends = Ends(part, ends);
    return ends;
  }
  bool tired() const { return steps_ > kMaxSteps; }

 private:
  static constexpr int64_t kMaxSteps = 200'000;

  Places EndsOfRepeat(const RegexNode& regex, const Places& begins) {
    Places ends = regex.min == 0 ? begins : Places();
    Places at = begins;
    for (uint64_t round = 1; round <= regex.max.value_or(UINT64_MAX) && !at.empty(); ++round) {
      Places next = Ends(regex.parts.front(), at);
      at.clear();
      for (const size_t place : next) {
        const bool is_new = round < regex.min || ends.insert(place).second;
        if (is_new) at.insert(place);
      }
    }
    return ends;
  }

  const std::u32string_view text_;
  int64_t steps_ = 0;
};

}  // namespace

std::optional<bool> Matches(const RegexNode& regex, std::u32string_view text) {
  Matcher matcher(text);
  const Places ends = matcher.Ends(regex, {0});
  if (matcher.tired()) return std::nullopt;
  return ends.contains(text.size());
}

LengthRange LengthOf(const RegexNode& regex) {
  switch (regex.kind) {
    case RegexNode::Kind::kCharacters:
      return {.min = 1, .max = 1};
    case RegexNode::Kind::kAnyOf:
      return LengthOfChoices(regex.parts);
    case RegexNode::Kind::kRepeat: {
      const LengthRange one = LengthOf(regex.parts.front());
      LengthRange all{.min = Product(one.min, regex.min), .max = std::nullopt};
      if (one.max == 0) all.max = 0;
      if (one.max && regex.max) all.max = Product(*one.max, *regex.max);
      return all;
    }
    case RegexNode::Kind::kSequence:
      break;
  }
  LengthRange all{.min = 0, .max = 0};
  for (const RegexNode& part : regex.parts) all = Sum(all, LengthOf(part));
  return all;
}

bool KeepLengths(const LengthRange& lengths, RegexNode& regex) {
  const LengthRange own = LengthOf(regex);
  const bool ends_in_time = !lengths.max || (own.max && *own.max <= *lengths.max);
  if (own.min >= lengths.min && ends_in_time) return true;
  if (regex.kind != RegexNode::Kind::kSequence) {
    regex = RegexNode{.kind = RegexNode::Kind::kSequence, .parts = {std::move(regex)}};
  }
  RegexNode* varies = nullptr;
  uint64_t others = 0;
  for (RegexNode& part : regex.parts) {
    const LengthRange of_part = LengthOf(part);
    if (of_part.max == of_part.min) {
      others += of_part.min;
    } else if (varies != nullptr || !IsOfOneCharacter(part)) {
      return false;
    } else {
      varies = &part;
    }
  }
  if (varies == nullptr || (lengths.max && *lengths.max < others)) return false;
  varies->min = std::max(varies->min, lengths.min > others ? lengths.min - others : 0);
  if (lengths.max) varies->max = std::min(varies->max.value_or(UINT64_MAX), *lengths.max - others);
  return !varies->max || varies->min <= *varies->max;
}

std::string RegexText(const RegexNode& regex, TextPlace place) {
  switch (regex.kind) {
    case RegexNode::Kind::kCharacters:
      return RegexOneOf(regex.characters, place);
    case RegexNode::Kind::kSequence:
      return Joined(regex.parts, place, "");
    case RegexNode::Kind::kRepeat:
      return RegexTimes(RegexText(regex.parts.front(), place), regex.min, regex.max);
    case RegexNode::Kind::kAnyOf:
      break;
  }
  return Joined(regex.parts, place, "|");
}

}  // namespace quire::gateway
