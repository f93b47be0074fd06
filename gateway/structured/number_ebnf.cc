#include "gateway/structured/number_ebnf.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/structured/ebnf.h"

namespace quire::gateway {
namespace {

constexpr size_t kMaxWhole = 18;
// With more digits before the point a double has no room for some behind it.
constexpr size_t kMaxWholeWithFraction = 9;
constexpr size_t kUsualFraction = 6;

using Choices = std::vector<std::string>;

std::string Digits(size_t min, size_t max) {
  if (max == 0) return "\"\"";
  return absl::StrCat("[0-9]", EbnfTimes(min, max));
}

std::string DigitsBetween(char first, char last) {
  return first == last ? EbnfLiteral(std::string(1, first))
                       : absl::StrCat("[", std::string(1, first), "-", std::string(1, last), "]");
}

bool AllAre(const std::string& digits, char digit) {
  return digits.find_first_not_of(digit) == std::string::npos;
}

// Of as many digits as both bounds have.
std::string SameLength(const std::string& low, const std::string& high) {
  if (low == high) return EbnfLiteral(low);
  const size_t rest = low.size() - 1;
  if (AllAre(low, '0') && AllAre(high, '9')) return Digits(low.size(), low.size());
  const std::string low_rest = low.substr(1), high_rest = high.substr(1);
  if (low[0] == high[0]) {
    return absl::StrCat(EbnfLiteral(low.substr(0, 1)), " ", SameLength(low_rest, high_rest));
  }
  Choices choices;
  char first = low[0], last = high[0];
  if (!AllAre(low_rest, '0')) {
    choices.push_back(
        absl::StrCat(EbnfLiteral(std::string(1, first)), " ", SameLength(low_rest, std::string(rest, '9'))));
    ++first;
  }
  if (!AllAre(high_rest, '9')) {
    choices.push_back(
        absl::StrCat(EbnfLiteral(std::string(1, last)), " ", SameLength(std::string(rest, '0'), high_rest)));
    --last;
  }
  if (first <= last)
    choices.push_back(absl::StrCat(DigitsBetween(first, last), rest > 0 ? " " + Digits(rest, rest) : ""));
  return EbnfAnyOf(choices);
}

// Integers without a sign; "" is 0.
std::optional<std::string> Wholes(const std::string& low, const std::optional<std::string>& high) {
  const auto written = [](const std::string& whole) { return whole.empty() ? std::string("0") : whole; };
  const std::string from = written(low);
  const std::string to = high && high->size() <= kMaxWhole ? written(*high) : std::string(kMaxWhole, '9');
  if (from.size() > to.size() || (from.size() == to.size() && from > to)) return std::nullopt;
  if (from.size() == to.size()) return SameLength(from, to);
  Choices choices{SameLength(from, std::string(from.size(), '9'))};
  size_t longest = to.size();
  if (!AllAre(to, '9')) {
    choices.push_back(SameLength("1" + std::string(to.size() - 1, '0'), to));
    --longest;
  }
  if (from.size() < longest) choices.push_back(absl::StrCat("[1-9] ", Digits(from.size(), longest - 1)));
  return EbnfAnyOf(choices);
}

// What is left of a bound's fraction while digits are written, and whether it itself is none of the numbers.
struct FractionBound {
  std::string rest;
  bool exclusive = false;

  bool Binds() const { return !rest.empty() || exclusive; }
  FractionBound Behind() const { return {rest.empty() ? "" : rest.substr(1), exclusive}; }
};

// Digits behind the point between bounds, `room` of them at most.
class Fraction {
 public:
  using Bound = std::optional<FractionBound>;

  // Alternatives; none: there are no such digits.
  static Choices Any(Bound low, Bound high, size_t room) {
    Choices choices = NotEmpty(low, high, room);
    if (MayEnd(low, high)) choices.insert(choices.begin(), "\"\"");
    return choices;
  }
  // Nothing more is as good as zeros.
  static bool MayEnd(const Bound& low, const Bound& high) {
    return (!low || !low->Binds()) && (!high || !high->rest.empty() || !high->exclusive);
  }
  static Choices NotEmpty(Bound low, Bound high, size_t room) {
    if (low && !low->Binds()) low.reset();
    if (room == 0) return {};
    if (!low && !high) return {Digits(1, room)};
    if (high && high->rest.empty()) {
      if (low || high->exclusive) return {};
      return {absl::StrCat("\"0\"", EbnfTimes(1, room))};
    }
    const char first = low && !low->rest.empty() ? low->rest[0] : '0';
    const char last = high ? high->rest[0] : '9';
    Choices choices;
    if (low)
      AddBehind(first, low->Behind(), first == last && high ? Bound(high->Behind()) : std::nullopt, room,
                choices);
    if (high && !(low && first == last)) AddBehind(last, std::nullopt, high->Behind(), room, choices);
    const char free_first = static_cast<char>(first + (low ? 1 : 0)),
               free_last = static_cast<char>(last - (high ? 1 : 0));
    if (free_first <= free_last) {
      choices.push_back(
          absl::StrCat(DigitsBetween(free_first, free_last), room > 1 ? " " + Digits(0, room - 1) : ""));
    }
    return choices;
  }

 private:
  static void AddBehind(char digit, Bound low, Bound high, size_t room, Choices& choices) {
    const Choices rest = Any(std::move(low), std::move(high), room - 1);
    if (!rest.empty())
      choices.push_back(absl::StrCat(EbnfLiteral(std::string(1, digit)), " ", EbnfAnyOf(rest)));
  }
};

size_t FractionRoom(const Fraction::Bound& low, const Fraction::Bound& high) {
  return std::max({kUsualFraction, low ? low->rest.size() + 1 : 0, high ? high->rest.size() + 1 : 0});
}

// A whole part by itself, and its fractions.
void AddAt(const std::string& whole, const Fraction::Bound& low, const Fraction::Bound& high,
           Choices& choices) {
  Choices fractions;
  if (Fraction::MayEnd(low, high)) fractions.push_back("\"\"");
  if (whole.size() <= kMaxWholeWithFraction) {
    const Choices digits = Fraction::NotEmpty(low, high, FractionRoom(low, high));
    if (!digits.empty()) fractions.push_back("\".\" " + EbnfAnyOf(digits));
  }
  if (!fractions.empty() && whole.size() <= kMaxWhole) {
    choices.push_back(absl::StrCat(EbnfLiteral(whole.empty() ? "0" : whole), " ", EbnfAnyOf(fractions)));
  }
}

void AddBetween(const std::string& low, const std::optional<std::string>& high, Choices& choices) {
  const std::string widest(kMaxWholeWithFraction, '9');
  const bool narrow = high && high->size() <= kMaxWholeWithFraction;
  if (const auto wholes = Wholes(low, narrow ? *high : widest)) {
    choices.push_back(absl::StrCat(*wholes, " (\".\" ", Digits(1, kUsualFraction), ")?"));
  }
  if (narrow) return;
  const std::string from = low.size() > kMaxWholeWithFraction ? low : Increment(widest);
  if (const auto wholes = Wholes(from, high)) choices.push_back(*wholes);
}

// Numbers that aren't negative.
void AddDecimals(const NumberBound& low, const std::optional<NumberBound>& high, Choices& choices) {
  const Fraction::Bound from = FractionBound{low.at.fraction, low.exclusive};
  if (!high) {
    AddAt(low.at.whole, from, std::nullopt, choices);
    return AddBetween(Increment(low.at.whole), std::nullopt, choices);
  }
  const Fraction::Bound to = FractionBound{high->at.fraction, high->exclusive};
  if (low.at.whole == high->at.whole) return AddAt(low.at.whole, from, to, choices);
  AddAt(low.at.whole, from, std::nullopt, choices);
  AddAt(high->at.whole, std::nullopt, to, choices);
  const std::string first = Increment(low.at.whole), last = Decrement(high->at.whole);
  if (first.size() < last.size() || (first.size() == last.size() && first <= last))
    AddBetween(first, last, choices);
}

void AddIntegers(const NumberBound& low, const std::optional<NumberBound>& high, Choices& choices) {
  std::string first = low.at.Ceiling().whole;
  if (low.exclusive && low.at.is_integer()) first = Increment(first);
  std::optional<std::string> last;
  if (high) {
    last = high->at.whole;
    if (high->exclusive && high->at.is_integer()) {
      if (last->empty()) return;
      last = Decrement(*last);
    }
  }
  if (auto wholes = Wholes(first, last)) choices.push_back(*std::move(wholes));
}

// By their magnitudes, sign apart.
void AddMagnitudes(bool integer, const NumberBound& low, const std::optional<NumberBound>& high,
                   Choices& choices) {
  if (high && (high->at < low.at || (high->at == low.at && (high->exclusive || low.exclusive)))) return;
  return integer ? AddIntegers(low, high, choices) : AddDecimals(low, high, choices);
}

}  // namespace

bool NumberRange::Holds(const Decimal& number) const {
  if (integer && !number.is_integer()) return false;
  if (min && (number < min->at || (min->exclusive && number == min->at))) return false;
  return !max || !(max->at < number || (max->exclusive && number == max->at));
}

std::optional<std::string> NumberEbnf(const NumberRange& range) {
  if (!range.min && !range.max) return range.integer ? "integer" : "number";
  Choices choices;
  const NumberBound zero{}, above_zero{.at = {}, .exclusive = true};
  const auto negated = [](const std::optional<NumberBound>& bound) {
    return bound ? std::optional(NumberBound{-bound->at, bound->exclusive}) : std::nullopt;
  };
  if (!range.max || !range.max->at.negative) {
    const bool from_min = range.min && !range.min->at.negative;
    AddMagnitudes(range.integer, from_min ? *range.min : zero, range.max, choices);
  }
  if (!range.min || range.min->at.negative) {
    Choices magnitudes;
    const bool from_max = range.max && range.max->at.negative;
    AddMagnitudes(range.integer, from_max ? *negated(range.max) : above_zero, negated(range.min), magnitudes);
    if (!magnitudes.empty()) choices.push_back("\"-\" " + EbnfAnyOf(magnitudes));
  }
  if (choices.empty()) return std::nullopt;
  return EbnfAnyOf(choices);
}

}  // namespace quire::gateway
