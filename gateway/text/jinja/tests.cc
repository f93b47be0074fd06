// The tests of "value is NAME".
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using SimpleTest = bool (*)(const Value&);

bool IsIterable(const Value& value) {
  return value.AsText() != nullptr || value.AsList() != nullptr || value.AsMap() != nullptr ||
         value.Is<Undefined>();
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
      {"sequence", IsIterable},
      {"callable", [](const Value& v) { return v.Is<Function>() || v.Is<const Statement*>(); }},
      {"odd", [](const Value& v) { return v.IsInteger() && v.Integer() % 2 != 0; }},
      {"even", [](const Value& v) { return v.IsInteger() && v.Integer() % 2 == 0; }},
      {"lower",
       [](const Value& v) {
         return v.AsText() != nullptr && ChangeCase(*v.AsText(), Case::kLower) == *v.AsText();
       }},
      {"upper",
       [](const Value& v) {
         return v.AsText() != nullptr && ChangeCase(*v.AsText(), Case::kUpper) == *v.AsText();
       }},
  };
  return tests;
}

absl::StatusOr<bool> ComparisonTest(const std::string& name, const Value& value, const Value& other) {
  if (name == "eq" || name == "equalto" || name == "sameas") return value.Equals(other);
  if (name == "ne") return !value.Equals(other);
  if (name == "in") return Contains(other, value);
  if (name == "divisibleby") {
    if (!value.IsInteger() || !other.IsInteger() || other.Integer() == 0) {
      return absl::InvalidArgumentError("divisibleby: needs integers");
    }
    return other.Integer() == -1 || value.Integer() % other.Integer() == 0;
  }
  QUIRE_ASSIGN_OR_RETURN(const int order, Order(value, other));
  if (name == "lt" || name == "lessthan") return order < 0;
  if (name == "le") return order <= 0;
  if (name == "gt" || name == "greaterthan") return order > 0;
  return order >= 0;  // ge
}

bool IsComparisonTest(const std::string& name) {
  for (const char* known : {"eq", "equalto", "sameas", "ne", "in", "divisibleby", "lt", "lessthan", "le",
                            "gt", "greaterthan", "ge"}) {
    if (name == known) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> ApplyTest(const std::string& name, const Value& value, const Arguments& arguments) {
  const auto simple = SimpleTests().find(name);
  if (simple != SimpleTests().end()) return simple->second(value);
  if (!IsComparisonTest(name)) {
    return absl::InvalidArgumentError(absl::StrCat("the test '", name, "' is not supported"));
  }
  if (arguments.positional.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("the test '", name, "' needs one argument"));
  }
  return ComparisonTest(name, value, arguments.positional[0]);
}

}  // namespace quire::gateway::jinja
