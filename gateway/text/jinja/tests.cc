// The tests of "value is NAME".
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using SimpleTest = bool (*)(const Value&);

bool IsCallable(const Value& value) {  // an undefined value too: it can be called, and raises
  return value.Is<Function>() || value.Is<MacroRef>() || value.Is<MethodRef>() || value.Is<LoopRef>() ||
         value.Is<Undefined>();
}

bool IsIterable(const Value& value) {
  return value.AsText() != nullptr || value.AsList() != nullptr || value.AsMap() != nullptr ||
         value.Is<Undefined>() || value.Is<IteratorRef>() || value.Is<LoopRef>();
}

// What has a length and items: no iterator, no view of a mapping.
bool IsSequence(const Value& value) {
  if (const List* list = value.AsList()) return list->kind <= ListKind::kGroup;
  return value.AsText() != nullptr || value.AsMap() != nullptr || value.Is<Undefined>();
}

const absl::flat_hash_map<std::string, SimpleTest>& SimpleTests() {
  static const absl::flat_hash_map<std::string, SimpleTest> tests = {
      {"defined", [](const Value& v) { return !v.Is<Undefined>(); }},
      {"undefined", [](const Value& v) { return v.Is<Undefined>(); }},
      {"none", [](const Value& v) { return v.Is<None>(); }},
      {"boolean", [](const Value& v) { return v.Is<bool>(); }},
      {"true", [](const Value& v) { return v.Is<bool>() && v.Truthy(); }},
      {"false", [](const Value& v) { return v.Is<bool>() && !v.Truthy(); }},
      {"integer", [](const Value& v) { return v.Is<int64_t>(); }},
      {"float", [](const Value& v) { return v.Is<double>(); }},
      {"number", [](const Value& v) { return v.IsNumber(); }},
      {"string", [](const Value& v) { return v.AsText() != nullptr; }},
      {"mapping", [](const Value& v) { return v.AsMap() != nullptr; }},
      {"iterable", IsIterable},
      {"sequence", IsSequence},
      {"callable", IsCallable},
      {"escaped", [](const Value& v) { return v.Is<Markup>(); }},
      {"lower", [](const Value& v) { return HasProperty(Print(v).text(), "islower").value_or(false); }},
      {"upper", [](const Value& v) { return HasProperty(Print(v).text(), "isupper").value_or(false); }},
      {"filter", [](const Value& v) { return v.AsText() != nullptr && IsFilter(v.AsText()->text()); }},
      {"test", [](const Value& v) { return v.AsText() != nullptr && IsTest(v.AsText()->text()); }},
  };
  return tests;
}

// Python's `is`, as far as it can be told: one type, equal, and of containers the same one.
absl::StatusOr<bool> IsSame(const Value& a, const Value& b, Meter&) {
  if (a.AsList() != nullptr || a.AsMap() != nullptr)
    return a.AsList() == b.AsList() && a.AsMap() == b.AsMap();
  return a.KindName() == b.KindName() && a.Equals(b);
}

absl::StatusOr<bool> Parity(const Value& value, double wanted, Meter& meter) {
  if (!value.IsNumber())
    return absl::InvalidArgumentError(absl::StrCat("needs a number, not ", value.KindName()));
  QUIRE_ASSIGN_OR_RETURN(const Value remainder,
                         Arithmetic(BinaryOperator::kModulo, value, Value(int64_t{2}), meter));
  return remainder.Number() == wanted;
}

absl::StatusOr<bool> IsDivisible(const Value& value, const Value& by, Meter& meter) {
  QUIRE_ASSIGN_OR_RETURN(const Value remainder, Arithmetic(BinaryOperator::kModulo, value, by, meter));
  return remainder.IsNumber() && remainder.Number() == 0;
}

template <Comparison op>
absl::StatusOr<bool> Compares(const Value& value, const Value& other, Meter& meter) {
  return CompareValues(op, value, other, meter);
}

// The tests with an argument.
using Relation = absl::StatusOr<bool> (*)(const Value&, const Value&, Meter&);

const absl::flat_hash_map<std::string, Relation>& Relations() {
  constexpr Relation kEqual = Compares<Comparison::kEqual>, kNotEqual = Compares<Comparison::kNotEqual>,
                     kLess = Compares<Comparison::kLess>, kGreater = Compares<Comparison::kGreater>,
                     kLessOrEqual = Compares<Comparison::kLessOrEqual>,
                     kGreaterOrEqual = Compares<Comparison::kGreaterOrEqual>;
  static const absl::flat_hash_map<std::string, Relation> relations = {
      {"eq", kEqual},
      {"equalto", kEqual},
      {"==", kEqual},
      {"ne", kNotEqual},
      {"!=", kNotEqual},
      {"lt", kLess},
      {"<", kLess},
      {"lessthan", kLess},
      {"le", kLessOrEqual},
      {"<=", kLessOrEqual},
      {"gt", kGreater},
      {">", kGreater},
      {"greaterthan", kGreater},
      {"ge", kGreaterOrEqual},
      {">=", kGreaterOrEqual},
      {"in", Compares<Comparison::kIn>},
      {"sameas", IsSame},
      {"divisibleby", IsDivisible},
  };
  return relations;
}

}  // namespace

bool IsTest(const std::string& name) {
  return SimpleTests().contains(name) || Relations().contains(name) || name == "odd" || name == "even";
}

absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value, const Arguments& arguments,
                               Meter& meter) {
  QUIRE_RETURN_IF_ERROR(meter.Spend(1));
  const size_t wanted = Relations().contains(name) ? 1 : 0;
  if (!IsTest(name))
    return absl::InvalidArgumentError(absl::StrCat("the test '", name, "' is not supported"));
  if (arguments.positional.size() + arguments.named.size() != wanted) {
    return absl::InvalidArgumentError(absl::StrCat("the test '", name, "' needs ", wanted, " arguments"));
  }
  if (name == "odd" || name == "even") return Parity(value, name == "odd" ? 1 : 0, meter);
  const bool reads_text = name == "lower" || name == "upper" || name == "filter" || name == "test";
  if (reads_text) QUIRE_RETURN_IF_ERROR(meter.SpendBytes(value.weight()));
  if (wanted == 0) return SimpleTests().at(name)(value);
  const Value& other = arguments.positional.empty() ? arguments.named[0].second : arguments.positional[0];
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(value.weight() + other.weight()));
  return Relations().at(name)(value, other, meter);
}

}  // namespace quire::gateway::jinja
