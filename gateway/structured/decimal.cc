#include "gateway/structured/decimal.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

constexpr int kMaxExponent = 400;

std::strong_ordering CompareMagnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() <=> b.whole.size();
  if (a.whole != b.whole) return a.whole.compare(b.whole) <=> 0;
  return a.fraction.compare(b.fraction) <=> 0;  // without trailing zeros a prefix is the smaller one
}

void Trim(Decimal& number) {
  number.whole.erase(0, std::min(number.whole.find_first_not_of('0'), number.whole.size()));
  number.fraction.erase(number.fraction.find_last_not_of('0') + 1);
  if (number.is_zero()) number.negative = false;
}

// Moves the point to the right, or for negative ones to the left.
void Shift(int places, Decimal& number) {
  std::string& from = places > 0 ? number.fraction : number.whole;
  const auto count = static_cast<size_t>(std::abs(places));
  if (places > 0) {
    from.resize(std::max(from.size(), count), '0');
    number.whole += from.substr(0, count);
    from.erase(0, count);
  } else {
    if (from.size() < count) from.insert(0, count - from.size(), '0');
    number.fraction.insert(0, from.substr(from.size() - count));
    from.resize(from.size() - count);
  }
}

}  // namespace

std::optional<Decimal> Decimal::Of(const nlohmann::ordered_json& json) {
  if (!json.is_number()) return std::nullopt;
  std::string text = json.dump();
  int exponent = 0;
  if (const size_t e = text.find('e'); e != std::string::npos) {
    if (!absl::SimpleAtoi(text.substr(e + 1), &exponent) || std::abs(exponent) > kMaxExponent)
      return std::nullopt;
    text.resize(e);
  }
  Decimal number;
  number.negative = text.starts_with('-');
  if (number.negative) text.erase(0, 1);
  const size_t point = std::min(text.find('.'), text.size());
  number.whole = text.substr(0, point);
  if (point < text.size()) number.fraction = text.substr(point + 1);
  if (exponent != 0) Shift(exponent, number);
  Trim(number);
  return number;
}

Decimal Decimal::operator-() const {
  Decimal negated = *this;
  negated.negative = !negative && !is_zero();
  return negated;
}

Decimal Decimal::Ceiling() const { return -(-*this).Floor(); }

Decimal Decimal::Floor() const {
  Decimal floor = *this;
  floor.fraction.clear();
  if (negative && !fraction.empty()) floor.whole = Increment(floor.whole);
  Trim(floor);
  return floor;
}

std::optional<int64_t> Decimal::Integer() const {
  int64_t value = 0;
  if (!is_integer() || !absl::SimpleAtoi(ToString(), &value)) return std::nullopt;
  return value;
}

std::string Decimal::ToString() const {
  return absl::StrCat(negative ? "-" : "", whole.empty() ? "0" : whole, fraction.empty() ? "" : ".",
                      fraction);
}

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (negative != other.negative)
    return negative ? std::strong_ordering::less : std::strong_ordering::greater;
  return negative ? CompareMagnitudes(other, *this) : CompareMagnitudes(*this, other);
}

std::string Increment(std::string whole) {
  size_t at = whole.size();
  while (at > 0 && whole[at - 1] == '9') whole[--at] = '0';
  if (at == 0) return "1" + whole;
  ++whole[at - 1];
  return whole;
}

std::string Decrement(std::string whole) {
  size_t at = whole.size();
  while (at > 0 && whole[at - 1] == '0') whole[--at] = '9';
  if (at > 0) --whole[at - 1];
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  return whole;
}

}  // namespace quire::gateway
