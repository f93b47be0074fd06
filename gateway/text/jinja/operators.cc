// What operators do with values.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

constexpr size_t kMaxIteratedBytes = 1 << 20;  // each character becomes a value

absl::Status TypeError(const std::string& op, const Value& a, const Value& b) {
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

absl::StatusOr<Value> Repeat(const OriginText& text, int64_t times) {
  if (times > 0 && text.size() > kMaxValueBytes / static_cast<size_t>(times)) {
    return absl::InvalidArgumentError("a text becomes too long");
  }
  OriginText out;
  for (int64_t i = 0; i < times && !text.empty(); ++i) out.Append(text);
  return Value(std::move(out));
}

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

absl::StatusOr<Value> IntegerArithmetic(const std::string& op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
  if (op == "//" || op == "%") {
    overflow = a == INT64_MIN && b == -1;
    if (!overflow) result = op == "//" ? FloorDivide(a, b) : a - b * FloorDivide(a, b);
  }
  if (op == "**") {
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

absl::StatusOr<Value> FloatArithmetic(const std::string& op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  if (op == "%") return Value(a - b * std::floor(a / b));
  return Value(std::pow(a, b));
}

absl::StatusOr<Value> Append(const List& a, const List& b) {
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return Value::MakeList(std::move(items));
}

absl::StatusOr<Value> At(const std::vector<Value>& items, int64_t index) {
  const int64_t count = static_cast<int64_t>(items.size());
  if (index < 0) index += count;
  if (index < 0 || index >= count) return Value::UndefinedNamed("list element");
  return items[index];
}

}  // namespace

absl::StatusOr<Value> Arithmetic(const std::string& op, const Value& a, const Value& b) {
  if (op == "~") return Join(Print(a), Print(b));
  if (a.IsNumber() && b.IsNumber()) {
    const bool divides = op == "/" || op == "//" || op == "%";
    if (divides && b.Number() == 0) return absl::InvalidArgumentError("division by zero");
    if (op != "/" && a.IsInteger() && b.IsInteger()) return IntegerArithmetic(op, a.Integer(), b.Integer());
    return FloatArithmetic(op, a.Number(), b.Number());
  }
  if (op == "+" && a.AsText() != nullptr && b.AsText() != nullptr) return Join(*a.AsText(), *b.AsText());
  if (op == "+" && a.AsList() != nullptr && b.AsList() != nullptr) return Append(*a.AsList(), *b.AsList());
  if (op == "*" && a.AsText() != nullptr && b.IsInteger()) return Repeat(*a.AsText(), b.Integer());
  if (op == "*" && b.AsText() != nullptr && a.IsInteger()) return Repeat(*b.AsText(), a.Integer());
  return TypeError(op, a, b);
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value) {
  std::vector<Value> items;
  if (const List* list = value.AsList()) return list->items;
  if (const Map* map = value.AsMap()) {
    for (const auto& [key, item] : map->entries) items.emplace_back(key);
  } else if (const OriginText* text = value.AsText()) {
    if (text->size() > kMaxIteratedBytes)
      return absl::InvalidArgumentError("the text is too long to iterate over");
    for (OriginText& character : Characters(*text)) items.emplace_back(std::move(character));
  } else if (!value.Is<Undefined>()) {
    return absl::InvalidArgumentError(absl::StrCat(value.KindName(), " can't be iterated over"));
  }
  return items;
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item) {
  if (const OriginText* text = container.AsText()) {
    if (item.AsText() == nullptr) return TypeError("in", item, container);
    return text->text().find(item.AsText()->text()) != std::string::npos;
  }
  if (const Map* map = container.AsMap()) {
    return item.AsText() != nullptr && map->Find(item.AsText()->text()) != nullptr;
  }
  if (const List* list = container.AsList()) {
    for (const Value& candidate : list->items) {
      if (candidate.Equals(item)) return true;
    }
    return false;
  }
  if (container.Is<Undefined>()) return false;
  return TypeError("in", item, container);
}

absl::StatusOr<int> Order(const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    if (a.IsInteger() && b.IsInteger()) return (a.Integer() > b.Integer()) - (a.Integer() < b.Integer());
    return (a.Number() > b.Number()) - (a.Number() < b.Number());
  }
  if (a.AsText() != nullptr && b.AsText() != nullptr) {
    const int order = a.AsText()->text().compare(b.AsText()->text());  // UTF-8 keeps the order of code points
    return (order > 0) - (order < 0);
  }
  return TypeError("<", a, b);
}

absl::StatusOr<Value> Lookup(const Value& object, const Value& key) {
  if (const auto* undefined = object.As<Undefined>()) {
    return absl::InvalidArgumentError(absl::StrCat("'", undefined->hint, "' is undefined"));
  }
  const OriginText* name = key.AsText();
  if (const Map* map = object.AsMap(); map != nullptr && name != nullptr) {
    const Value* found = map->Find(name->text());
    return found == nullptr ? Value::UndefinedNamed(name->text()) : *found;
  }
  if (const auto* space = object.As<NamespaceRef>(); space != nullptr && name != nullptr) {
    const auto found = (*space)->values.find(name->text());
    return found == (*space)->values.end() ? Value::UndefinedNamed(name->text()) : found->second;
  }
  if (key.IsInteger() && object.AsList() != nullptr) return At(object.AsList()->items, key.Integer());
  if (key.IsInteger() && object.AsText() != nullptr) {
    const int64_t index = key.Integer();
    const auto end = index == -1 ? std::nullopt : std::optional<int64_t>(index + 1);
    OriginText character = SliceText(*object.AsText(), index, end, 1);
    return character.empty() ? Value::UndefinedNamed("character") : Value(std::move(character));
  }
  return Value::UndefinedNamed(name == nullptr ? "item" : name->text());
}

}  // namespace quire::gateway::jinja
