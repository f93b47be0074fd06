// What operators do with values.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/format.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

// As a template's author wrote it.
const char* SpellingOf(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "**";
    case BinaryOperator::kConcat:
      return "~";
  }
  return "";
}

absl::Status TypeError(const char* op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = value->As<Undefined>()) {
      return absl::InvalidArgumentError(absl::StrCat("'", undefined->hint, "' is undefined"));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", op, "' can't be used between ", a.KindName(), " and ", b.KindName()));
}

absl::StatusOr<Value> Join(const OriginText& a, const OriginText& b) {
  if (a.size() + b.size() > kMaxValueBytes) return absl::InvalidArgumentError("a text becomes too long");
  OriginText out = a;
  out.Append(b);
  return Value(std::move(out));
}

absl::StatusOr<OriginText> Repeat(const OriginText& text, int64_t times) {
  if (times > 0 && text.size() > kMaxValueBytes / static_cast<size_t>(times)) {
    return absl::InvalidArgumentError("a text becomes too long");
  }
  OriginText out;
  for (int64_t i = 0; i < times && !text.empty(); ++i) out.Append(text);
  return out;
}

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

absl::StatusOr<Value> IntegerArithmetic(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == BinaryOperator::kAdd) overflow = __builtin_add_overflow(a, b, &result);
  if (op == BinaryOperator::kSubtract) overflow = __builtin_sub_overflow(a, b, &result);
  if (op == BinaryOperator::kMultiply) overflow = __builtin_mul_overflow(a, b, &result);
  if (op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo) {
    overflow = a == INT64_MIN && b == -1;
    if (!overflow)
      result = op == BinaryOperator::kFloorDivide ? FloorDivide(a, b) : a - b * FloorDivide(a, b);
  }
  if (op == BinaryOperator::kPower) {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    // Beyond 64 factors all but 0, 1 and -1 overflow, and those only depend on the last bit.
    for (int64_t i = 0, count = b > 64 ? 64 + b % 2 : b; i < count && !overflow; ++i) {
      overflow = __builtin_mul_overflow(result, a, &result);
    }
  }
  if (overflow) return absl::InvalidArgumentError("an integer becomes too large");
  return Value(result);
}

absl::StatusOr<Value> FloatArithmetic(BinaryOperator op, double a, double b) {
  if (op == BinaryOperator::kAdd) return Value(a + b);
  if (op == BinaryOperator::kSubtract) return Value(a - b);
  if (op == BinaryOperator::kMultiply) return Value(a * b);
  if (op == BinaryOperator::kDivide) return Value(a / b);
  if (op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo) {
    // As CPython: the remainder has the divisor's sign.
    double remainder = std::fmod(a, b);
    double quotient = (a - remainder) / b;
    if (remainder != 0 && (b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1;
    }
    return op == BinaryOperator::kModulo ? Value(remainder) : Value(std::round(quotient));
  }
  return Value(std::pow(a, b));
}

absl::StatusOr<Value> Append(const List& a, const List& b) {
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return Value::MakeList(std::move(items), a.IsTuple() ? ListKind::kTuple : ListKind::kList);
}

absl::StatusOr<Value> RepeatList(const List& list, int64_t times) {
  if (times > 0 && list.weight > kMaxValueBytes / static_cast<size_t>(times)) {
    return absl::InvalidArgumentError("a list becomes too long");
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < times; ++i) items.insert(items.end(), list.items.begin(), list.items.end());
  return Value::MakeList(std::move(items), list.IsTuple() ? ListKind::kTuple : ListKind::kList);
}

// + and % of markup, which escape what is not.
absl::StatusOr<Value> AddMarkup(const Value& a, const Value& b) {
  const auto escaped = [](const Value& value) {
    return value.Is<Markup>() ? *value.AsText() : EscapeHtml(*value.AsText());
  };
  QUIRE_ASSIGN_OR_RETURN(const Value joined, Join(escaped(a), escaped(b)));
  return Value::MarkupText(*joined.AsText());
}

absl::StatusOr<Value> TextArithmetic(BinaryOperator op, const Value& a, const Value& b, Meter& meter) {
  const auto result = [&](absl::StatusOr<OriginText> text, const Value& of) -> absl::StatusOr<Value> {
    QUIRE_RETURN_IF_ERROR(text.status());
    return of.Is<Markup>() ? Value::MarkupText(*std::move(text)) : Value(*std::move(text));
  };
  if (op == BinaryOperator::kAdd && a.AsText() != nullptr && b.AsText() != nullptr) {
    if (a.Is<Markup>() || b.Is<Markup>()) return AddMarkup(a, b);
    return Join(*a.AsText(), *b.AsText());
  }
  if (op == BinaryOperator::kModulo && a.AsText() != nullptr)
    return result(FormatPercent(*a.AsText(), b, a.Is<Markup>(), meter), a);
  if (op == BinaryOperator::kMultiply && a.AsText() != nullptr && b.IsInteger())
    return result(Repeat(*a.AsText(), b.Integer()), a);
  if (op == BinaryOperator::kMultiply && b.AsText() != nullptr && a.IsInteger())
    return result(Repeat(*b.AsText(), a.Integer()), b);
  return TypeError(SpellingOf(op), a, b);
}

bool Repeats(const Value& list, const Value& times) {
  return list.AsList() != nullptr && list.AsList()->kind <= ListKind::kGroup && times.IsInteger();
}

bool AreAlike(const List& a, const List& b) {
  return a.kind <= ListKind::kGroup && b.kind <= ListKind::kGroup && a.IsTuple() == b.IsTuple();
}

}  // namespace

absl::StatusOr<Value> Arithmetic(BinaryOperator op, const Value& a, const Value& b, Meter& meter) {
  if (op == BinaryOperator::kConcat) return Join(Print(a), Print(b));
  if (a.IsNumber() && b.IsNumber()) {
    const bool divides =
        op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo;
    if (divides && b.Number() == 0) return absl::InvalidArgumentError("division by zero");
    if (op != BinaryOperator::kDivide && a.IsInteger() && b.IsInteger())
      return IntegerArithmetic(op, a.Integer(), b.Integer());
    return FloatArithmetic(op, a.Number(), b.Number());
  }
  const List *list = a.AsList(), *other = b.AsList();
  if (op == BinaryOperator::kAdd && list != nullptr && other != nullptr && AreAlike(*list, *other))
    return Append(*list, *other);
  if (op == BinaryOperator::kMultiply && Repeats(a, b)) return RepeatList(*list, b.Integer());
  if (op == BinaryOperator::kMultiply && Repeats(b, a)) return RepeatList(*other, a.Integer());
  return TextArithmetic(op, a, b, meter);
}

namespace {

absl::StatusOr<int> OrderLists(const std::vector<Value>& a, const std::vector<Value>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!a[i].Equals(b[i])) return Order(a[i], b[i]);
  }
  return (a.size() > b.size()) - (a.size() < b.size());
}

}  // namespace

absl::StatusOr<int> Order(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsInteger() && b.IsInteger()) return (a.Integer() > b.Integer()) - (a.Integer() < b.Integer());
    return (a.Number() > b.Number()) - (a.Number() < b.Number());
  }
  if (a.AsText() != nullptr && b.AsText() != nullptr) {
    const int order = a.AsText()->text().compare(b.AsText()->text());  // UTF-8 keeps the order of code points
    return (order > 0) - (order < 0);
  }
  if (a.AsList() != nullptr && b.AsList() != nullptr && AreAlike(*a.AsList(), *b.AsList())) {
    return OrderLists(a.AsList()->items, b.AsList()->items);
  }
  return TypeError("<", a, b);
}

absl::StatusOr<bool> CompareValues(Comparison op, const Value& a, const Value& b, Meter& meter) {
  if (op == Comparison::kEqual) return a.Equals(b);
  if (op == Comparison::kNotEqual) return !a.Equals(b);
  if (op == Comparison::kIn) return Contains(b, a, meter);
  if (op == Comparison::kNotIn) {
    QUIRE_ASSIGN_OR_RETURN(const bool contains, Contains(b, a, meter));
    return !contains;
  }
  QUIRE_ASSIGN_OR_RETURN(const int order, Order(a, b));
  if (op == Comparison::kLess) return order < 0;
  if (op == Comparison::kLessOrEqual) return order <= 0;
  if (op == Comparison::kGreater) return order > 0;
  return order >= 0;
}

}  // namespace quire::gateway::jinja
