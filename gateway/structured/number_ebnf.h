// JSON numbers between bounds, as expressions of EBNF. Pure, any thread. Always: what is written is a number
// that a double tells from its bounds, of at most 18 digits before the point; one spelling for most, without
// an exponent where there is a bound.
#pragma once

#include <optional>
#include <string>

#include "gateway/structured/decimal.h"

namespace quire::gateway {

struct NumberBound {
  Decimal at;
  bool exclusive = false;
};

struct NumberRange {
  bool integer = false;
  std::optional<NumberBound> min, max;

  bool Holds(const Decimal& number) const;
};

// By the rules of JSON (grammar_rules.h) where there is no bound; nullopt: there is no such number.
std::optional<std::string> NumberEbnf(const NumberRange& range);

}  // namespace quire::gateway
