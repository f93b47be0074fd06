// The filters of "value | NAME".
#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;
using FilterFunction = Result (*)(const Value& input, const Arguments& arguments);

constexpr int64_t kMaxIndent = 16;

absl::Status Wrong(std::string_view problem) { return absl::InvalidArgumentError(std::string(problem)); }

Result ToJsonFilter(const Value& input, const Arguments& arguments) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {"indent", "ensure_ascii"}));
  const Value* indent = arguments.Get(0, "indent");
  const Value* ascii = arguments.Get(1, "ensure_ascii");
  if (ascii != nullptr && ascii->Truthy()) return Wrong("ensure_ascii=true is not supported");
  int width = -1;
  if (indent != nullptr && !indent->Is<None>()) {
    if (!indent->IsInteger() || indent->Integer() < 0 || indent->Integer() > kMaxIndent) {
      return Wrong(absl::StrCat("indent must be 0 to ", kMaxIndent));
    }
    width = static_cast<int>(indent->Integer());
  }
  QUIRE_ASSIGN_OR_RETURN(OriginText json, ToJson(input, width));
  return Value(std::move(json));
}

Result TrimFilter(const Value& input, const Arguments& arguments) {
  const Value* characters = arguments.Get(0, "chars");
  if (characters == nullptr || characters->AsText() == nullptr) {
    return Value(Strip(Print(input), Side::kBoth, std::nullopt));
  }
  return Value(Strip(Print(input), Side::kBoth, characters->AsText()->text()));
}

Result LengthFilter(const Value& input, const Arguments&) {
  if (const OriginText* text = input.AsText()) return Value(CharCount(text->text()));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input));
  return Value(static_cast<int64_t>(items.size()));
}

Result JoinFilter(const Value& input, const Arguments& arguments) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {"d"}));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(input));
  const Value* given = arguments.Get(0, "d");
  const OriginText separator = given == nullptr ? OriginText() : Print(*given);
  if (items.size() * (separator.size() + 1) > kMaxValueBytes) return Wrong("a text becomes too long");
  OriginText out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(separator);
    out.Append(Print(items[i]));
  }
  return Value(std::move(out));
}

Result ReplaceFilter(const Value& input, const Arguments& arguments) {
  const Value* from = arguments.Get(0, "old");
  const Value* to = arguments.Get(1, "new");
  const Value* count = arguments.Get(2, "count");
  if (from == nullptr || to == nullptr) return Wrong("needs what to replace and by what");
  const OriginText text = Print(input), old_text = Print(*from), new_text = Print(*to);
  if (old_text.empty()) return Wrong("the text to replace is empty");
  if (text.size() / old_text.size() * new_text.size() > kMaxValueBytes)
    return Wrong("a text becomes too long");
  const int64_t limit = count != nullptr && count->IsInteger() ? count->Integer() : -1;
  return Value(Replace(text, old_text.text(), new_text, limit));
}

Result DefaultFilter(const Value& input, const Arguments& arguments) {
  const Value* otherwise = arguments.Get(0, "default_value");
  const Value* also_false = arguments.Get(1, "boolean");
  const bool replaces =
      input.Is<Undefined>() || (also_false != nullptr && also_false->Truthy() && !input.Truthy());
  if (!replaces) return input;
  return otherwise == nullptr ? Value(OriginText()) : *otherwise;
}

Result ItemsFilter(const Value& input, const Arguments&) {
  if (input.Is<Undefined>()) return Value::MakeList({});
  if (input.AsMap() == nullptr) return Wrong("needs a mapping");
  return CallMethod(input, "items", {});
}

Result ListFilter(const Value& input, const Arguments&) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  return Value::MakeList(std::move(items));
}

Result FirstFilter(const Value& input, const Arguments&) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  return items.empty() ? Value::UndefinedNamed("first item") : items.front();
}

Result LastFilter(const Value& input, const Arguments&) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  return items.empty() ? Value::UndefinedNamed("last item") : items.back();
}

Result ReverseFilter(const Value& input, const Arguments&) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  std::reverse(items.begin(), items.end());
  if (input.AsText() == nullptr) return Value::MakeList(std::move(items));
  OriginText out;
  for (const Value& item : items) out.Append(*item.AsText());
  return Value(std::move(out));
}

Result SortFilter(const Value& input, const Arguments& arguments) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  for (size_t i = 1; i < items.size(); ++i) {
    QUIRE_RETURN_IF_ERROR(Order(items[0], items[i]).status());
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Value& a, const Value& b) { return Order(a, b).value_or(0) < 0; });
  return Value::MakeList(std::move(items));
}

Result IntFilter(const Value& input, const Arguments&) {
  if (const double* number = input.As<double>()) {
    if (!(std::abs(*number) < 9e18)) return Wrong("the number is out of range");
    return Value(static_cast<int64_t>(*number));
  }
  int64_t integer = 0;
  if (input.AsText() != nullptr && !absl::SimpleAtoi(input.AsText()->text(), &integer))
    return Value(int64_t{0});
  return Value(input.AsText() != nullptr ? integer : input.Integer());
}

Result FloatFilter(const Value& input, const Arguments&) {
  double number = input.Number();
  if (input.AsText() != nullptr && !absl::SimpleAtod(input.AsText()->text(), &number)) number = 0;
  return Value(number);
}

Result AbsFilter(const Value& input, const Arguments&) {
  if (!input.IsNumber()) return Wrong("needs a number");
  if (const double* number = input.As<double>()) return Value(std::abs(*number));
  return input.Integer() < 0 ? Arithmetic("-", Value(int64_t{0}), input) : Result(Value(input.Integer()));
}

template <Case kCase>
Result CaseFilter(const Value& input, const Arguments&) {
  return Value(ChangeCase(Print(input), kCase));
}

// select, reject, selectattr and rejectattr: arguments are [attribute,] [test, [its argument]].
template <bool kByAttribute, bool kWanted>
Result SelectFilter(const Value& input, const Arguments& arguments) {
  const auto& given = arguments.positional;
  const size_t test_place = kByAttribute ? 1 : 0;
  if (kByAttribute && given.empty()) return Wrong("needs an attribute");
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  std::vector<Value> selected;
  for (Value& item : items) {
    Value subject = item;
    if (kByAttribute) {
      QUIRE_ASSIGN_OR_RETURN(subject, Lookup(item, given[0]));
    }
    bool passes = subject.Truthy();
    if (given.size() > test_place) {
      Arguments test_arguments;
      test_arguments.positional.assign(given.begin() + test_place + 1, given.end());
      QUIRE_ASSIGN_OR_RETURN(passes, ApplyTest(Print(given[test_place]).text(), subject, test_arguments));
    }
    if (passes == kWanted) selected.push_back(std::move(item));
  }
  return Value::MakeList(std::move(selected));
}

// map(attribute="name") or map("filter", its arguments).
Result MapFilter(const Value& input, const Arguments& arguments) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(input));
  const Value* attribute = arguments.Get(SIZE_MAX, "attribute");
  if (attribute == nullptr && arguments.positional.empty()) return Wrong("needs an attribute or a filter");
  Arguments rest;
  if (attribute == nullptr) {
    rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
  }
  for (Value& item : items) {
    if (attribute != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(item, Lookup(item, *attribute));
    } else {
      QUIRE_ASSIGN_OR_RETURN(item, ApplyFilter(Print(arguments.positional[0]).text(), item, rest));
    }
  }
  return Value::MakeList(std::move(items));
}

const absl::flat_hash_map<std::string, FilterFunction>& Filters() {
  static const absl::flat_hash_map<std::string, FilterFunction> filters = {
      {"tojson", ToJsonFilter},
      {"trim", TrimFilter},
      {"length", LengthFilter},
      {"count", LengthFilter},
      {"join", JoinFilter},
      {"replace", ReplaceFilter},
      {"default", DefaultFilter},
      {"d", DefaultFilter},
      {"items", ItemsFilter},
      {"list", ListFilter},
      {"first", FirstFilter},
      {"last", LastFilter},
      {"reverse", ReverseFilter},
      {"sort", SortFilter},
      {"int", IntFilter},
      {"float", FloatFilter},
      {"abs", AbsFilter},
      {"string", [](const Value& input, const Arguments&) { return Result(Value(Print(input))); }},
      {"safe", [](const Value& input, const Arguments&) { return Result(Value(Print(input))); }},
      {"upper", CaseFilter<Case::kUpper>},
      {"lower", CaseFilter<Case::kLower>},
      {"capitalize", CaseFilter<Case::kCapitalize>},
      {"title", CaseFilter<Case::kTitle>},
      {"select", SelectFilter<false, true>},
      {"reject", SelectFilter<false, false>},
      {"selectattr", SelectFilter<true, true>},
      {"rejectattr", SelectFilter<true, false>},
      {"map", MapFilter},
  };
  return filters;
}

}  // namespace

Result ApplyFilter(const std::string& name, const Value& input, const Arguments& arguments) {
  const auto found = Filters().find(name);
  if (found == Filters().end()) return Wrong(absl::StrCat("the filter '", name, "' is not supported"));
  Result result = found->second(input, arguments);
  if (result.ok()) return result;
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", MessageOf(result.status())));
}

}  // namespace quire::gateway::jinja
