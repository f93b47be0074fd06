// ParseRegex: a recursive descent over the pattern's characters.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/regex.h"

namespace quire::gateway {
namespace {

using Kind = RegexNode::Kind;

constexpr int kMaxRegexDepth = 50;

// What a class holds for certain, and what it may hold by some dialect's view: what is not in it is known
// only of what isn't in the latter.
struct ClassBounds {
  CodePoints sure, maybe;

  ClassBounds Or(const ClassBounds& other) const { return {sure.Or(other.sure), maybe.Or(other.maybe)}; }
  ClassBounds Not() const { return {CodePoints::All().Without(maybe), CodePoints::All().Without(sure)}; }
};

ClassBounds Exactly(std::vector<CodePoints::Range> ranges) {
  const CodePoints set(std::move(ranges));
  return {set, set};
}

ClassBounds Digits() {
  // Scripts that have digits of their own.
  const CodePoints others(
      {{0x660, 0x1FFF}, {0xA600, 0xABFF}, {0xFF10, 0xFF19}, {0x10000, 0x1F2FF}, {0x1FB00, kLastCodePoint}});
  const CodePoints ascii({{'0', '9'}});
  return {ascii, ascii.Or(others)};
}

ClassBounds WordCharacters() {
  const CodePoints ascii({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return {ascii, ascii.Or(CodePoints({{0x80, kLastCodePoint}}))};
}

ClassBounds Spaces() {
  const CodePoints ascii({{'\t', '\r'}, {' ', ' '}});
  const CodePoints others({{0x1C, 0x1F},
                           {0x85, 0x85},
                           {0xA0, 0xA0},
                           {0x1680, 0x1680},
                           {0x180E, 0x180E},
                           {0x2000, 0x200B},
                           {0x2028, 0x2029},
                           {0x202F, 0x202F},
                           {0x205F, 0x205F},
                           {0x3000, 0x3000},
                           {0xFEFF, 0xFEFF}});
  return {ascii, ascii.Or(others)};
}

// The dot.
ClassBounds NoLineEnds() {
  return {CodePoints::All().Without(CodePoints({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}, {0x85, 0x85}})),
          CodePoints::All()};
}

RegexNode Anything() {
  RegexNode one{.kind = Kind::kCharacters, .characters = CodePoints::All()};
  return {.kind = Kind::kRepeat, .parts = {std::move(one)}, .min = 0, .max = std::nullopt};
}

class RegexParser {
 public:
  RegexParser(std::u32string pattern, RegexUse use) : pattern_(std::move(pattern)), use_(use) {}

  absl::StatusOr<RegexNode> Parse() {
    QUIRE_ASSIGN_OR_RETURN(RegexNode root, Choices(0));
    if (at_ < pattern_.size()) return Wrong("an unmatched )");
    return root;
  }

 private:
  absl::Status Wrong(std::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(what), ", at character ", at_, " of the pattern"));
  }
  bool done() const { return at_ >= pattern_.size(); }
  bool Sees(char32_t c) const { return !done() && pattern_[at_] == c; }
  bool Take(char32_t c) {
    if (!Sees(c)) return false;
    ++at_;
    return true;
  }

  absl::StatusOr<RegexNode> Choices(int depth) {
    if (depth > kMaxRegexDepth) return Wrong("groups are nested too deep");
    RegexNode choices{.kind = Kind::kAnyOf};
    do {
      QUIRE_ASSIGN_OR_RETURN(RegexNode sequence, Sequence(depth));
      choices.parts.push_back(std::move(sequence));
    } while (Take('|'));
    if (choices.parts.size() > 1) return choices;
    return std::move(choices.parts.front());
  }

  // Anchors stand at the ends of the whole pattern's choices only: what they would mean elsewhere can't be
  // said by what comes next.
  absl::StatusOr<RegexNode> Sequence(int depth) {
    RegexNode sequence;
    const bool is_outermost = depth == 0;
    bool begins = false, ends = false;
    while (is_outermost && Take('^')) begins = true;
    while (!done() && !Sees('|') && !Sees(')')) {
      if (ends || Sees('^') || (Sees('$') && !is_outermost)) return Wrong("an anchor within the pattern");
      if (Take('$')) {
        ends = true;
        continue;
      }
      QUIRE_ASSIGN_OR_RETURN(RegexNode part, Repeated(depth));
      sequence.parts.push_back(std::move(part));
      if (++nodes_ > kMaxRegexBytes) return Wrong("the pattern is too large");
    }
    if (is_outermost && use_ == RegexUse::kSearch) {
      if (!begins) sequence.parts.insert(sequence.parts.begin(), Anything());
      if (!ends) sequence.parts.push_back(Anything());
    }
    return sequence;
  }

  absl::StatusOr<RegexNode> Repeated(int depth) {
    QUIRE_ASSIGN_OR_RETURN(RegexNode one, Atom(depth));
    RegexNode repeat{.kind = Kind::kRepeat};
    if (Take('*')) {
      repeat.min = 0;
    } else if (Take('?')) {
      repeat.min = 0;
      repeat.max = 1;
    } else if (Sees('{')) {
      QUIRE_RETURN_IF_ERROR(Counts(repeat));
    } else if (!Take('+')) {
      return one;
    }
    Take('?');  // which of several matches is meant changes nothing in which texts match
    if (Sees('*') || Sees('+') || Sees('?') || Sees('{')) return Wrong("a repetition of a repetition");
    repeat.parts.push_back(std::move(one));
    return repeat;
  }

  absl::Status Counts(RegexNode& repeat) {
    ++at_;
    QUIRE_ASSIGN_OR_RETURN(repeat.min, Number());
    repeat.max = repeat.min;
    if (Take(',')) {
      repeat.max.reset();
      if (!Sees('}')) {
        QUIRE_ASSIGN_OR_RETURN(repeat.max, Number());
      }
    }
    if (!Take('}')) return Wrong("a repetition without its }");
    if (repeat.max && *repeat.max < repeat.min)
      return Wrong("a repetition whose counts are the wrong way round");
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Number() {
    uint64_t number = 0;
    const size_t begin = at_;
    for (; !done() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_) {
      number = number * 10 + (pattern_[at_] - '0');
      if (number > kMaxRegexTimes) return Wrong(absl::StrCat("a repetition of more than ", kMaxRegexTimes));
    }
    if (at_ == begin) return Wrong("a { that is no repetition: write \\{ for the character");
    return number;
  }

  absl::StatusOr<RegexNode> Atom(int depth) {
    if (Take('(')) return Group(depth);
    if (Sees('*') || Sees('+') || Sees('?') || Sees('{')) return Wrong("a repetition of nothing");
    if (Take('[')) return Class();
    if (Take('.')) return Characters(NoLineEnds());
    if (Take('\\')) {
      QUIRE_ASSIGN_OR_RETURN(const ClassBounds escaped, Escape(/*in_class=*/false));
      return Characters(escaped);
    }
    const char32_t c = pattern_[at_++];
    return Characters(Exactly({{c, c}}));
  }

  absl::StatusOr<RegexNode> Characters(const ClassBounds& bounds) const {
    if (bounds.sure.empty()) return Wrong("a class that no character is in for certain");
    return RegexNode{.kind = Kind::kCharacters, .characters = bounds.sure};
  }

  absl::StatusOr<RegexNode> Group(int depth) {
    if (Take('?')) {
      if (Take('P') || Sees('<')) {
        QUIRE_RETURN_IF_ERROR(GroupName());
      } else if (!Take(':')) {
        return Wrong("look-around and flags are not supported");
      }
    }
    QUIRE_ASSIGN_OR_RETURN(RegexNode inner, Choices(depth + 1));
    if (!Take(')')) return Wrong("a ( without its )");
    return inner;
  }

  absl::Status GroupName() {
    if (!Take('<') || Sees('=') || Sees('!')) return Wrong("look-around is not supported");
    while (!done() && !Sees('>')) ++at_;
    return Take('>') ? absl::OkStatus() : Wrong("a group's name without its >");
  }

  absl::StatusOr<RegexNode> Class() {
    const bool negated = Take('^');
    if (Sees(']')) return Wrong("an empty class");  // a dialect's ], another's nothing
    ClassBounds bounds;
    while (!Sees(']')) {
      if (done()) return Wrong("a [ without its ]");
      QUIRE_ASSIGN_OR_RETURN(const ClassBounds member, ClassMember());
      bounds = bounds.Or(member);
    }
    ++at_;
    return Characters(negated ? bounds.Not() : bounds);
  }

  absl::StatusOr<ClassBounds> ClassMember() {
    QUIRE_ASSIGN_OR_RETURN(const ClassBounds first, ClassAtom());
    const bool is_range = Sees('-') && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != ']';
    if (!is_range) return first;
    ++at_;
    QUIRE_ASSIGN_OR_RETURN(const ClassBounds last, ClassAtom());
    const auto single = [](const ClassBounds& c) {
      return c.maybe.ranges().size() == 1 && c.maybe.ranges()[0].first == c.maybe.ranges()[0].last;
    };
    if (!single(first) || !single(last)) return Wrong("a range whose ends are no characters");
    const char32_t from = first.sure.ranges()[0].first, to = last.sure.ranges()[0].first;
    if (to < from) return Wrong("a range that is the wrong way round");
    return Exactly({{from, to}});
  }

  absl::StatusOr<ClassBounds> ClassAtom() {
    if (done()) return Wrong("a [ without its ]");
    if (Take('\\')) return Escape(/*in_class=*/true);
    const char32_t c = pattern_[at_++];
    return Exactly({{c, c}});
  }

  // Behind the backslash.
  absl::StatusOr<ClassBounds> Escape(bool in_class) {
    if (done()) return Wrong("a \\ at the end");
    const char32_t c = pattern_[at_++];
    switch (c) {
      case 'd':
        return Digits();
      case 'D':
        return Digits().Not();
      case 'w':
        return WordCharacters();
      case 'W':
        return WordCharacters().Not();
      case 's':
        return Spaces();
      case 'S':
        return Spaces().Not();
      case 'n':
        return Exactly({{'\n', '\n'}});
      case 'r':
        return Exactly({{'\r', '\r'}});
      case 't':
        return Exactly({{'\t', '\t'}});
      case 'f':
        return Exactly({{'\f', '\f'}});
      case 'v':
        return Exactly({{'\v', '\v'}});
      case 'x':
        return Hexadecimal(2);
      case 'u':
        return Hexadecimal(4);
      case 'b':
        if (in_class) return Exactly({{'\b', '\b'}});
        return Wrong("\\b is not supported");
      default:
        break;
    }
    const bool is_letter_or_digit =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_letter_or_digit) return Wrong("an escape that is not supported");
    return Exactly({{c, c}});
  }

  absl::StatusOr<ClassBounds> Hexadecimal(int digits) {
    const bool braced = digits == 4 && Take('{');
    char32_t value = 0;
    int read = 0;
    for (; !done() && (braced ? read < 6 : read < digits); ++read, ++at_) {
      const char32_t c = pattern_[at_];
      const char32_t lower = c | 0x20;
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + (lower - 'a' + 10);
      } else {
        break;
      }
    }
    const bool whole = braced ? read > 0 && Take('}') : read == digits;
    const bool is_character = value <= kLastCodePoint && (value < 0xD800 || value > 0xDFFF);
    if (!whole || !is_character) return Wrong("an escape that names no character");
    return Exactly({{value, value}});
  }

  const std::u32string pattern_;
  const RegexUse use_;
  size_t at_ = 0;
  size_t nodes_ = 0;
};

}  // namespace

absl::StatusOr<RegexNode> ParseRegex(std::string_view pattern, RegexUse use) {
  if (pattern.size() > kMaxRegexBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern has more than ", kMaxRegexBytes, " bytes"));
  }
  return RegexParser(CodePointsOf(pattern), use).Parse();
}

}  // namespace quire::gateway
