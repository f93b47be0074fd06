// A JSON number as the digits that it is written with, so that bounds are compared and cut apart exactly.
// Plain value; pure, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace quire::gateway {

struct Decimal {
  bool negative = false;  // never of zero
  std::string whole;      // no leading zeros; "" where it is 0
  std::string fraction;   // no trailing zeros; "" where there is none

  // A number's shortest form; nullopt beyond 10^400 and below its inverse, and of what is no number.
  static std::optional<Decimal> Of(const nlohmann::ordered_json& number);

  bool is_zero() const { return whole.empty() && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
  Decimal operator-() const;
  // The nearest integer that isn't less, and that isn't greater.
  Decimal Ceiling() const;
  Decimal Floor() const;
  // An integer's, where it fits.
  std::optional<int64_t> Integer() const;
  std::string ToString() const;

  std::strong_ordering operator<=>(const Decimal& other) const;
  bool operator==(const Decimal& other) const = default;
};

// By one more, or one less: of digits without a sign.
std::string Increment(std::string whole);
std::string Decrement(std::string whole);

}  // namespace quire::gateway
