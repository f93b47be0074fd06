// What stands inside of values: attributes, items, membership.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/ast.h"
#include "gateway/text/jinja/builtins.h"
#include "gateway/text/jinja/text.h"

namespace quire::gateway::jinja {
namespace {

constexpr size_t kMaxIteratedBytes = 1 << 20;  // each character becomes a value

absl::Status UndefinedError(const Undefined& undefined) {
  return absl::InvalidArgumentError(absl::StrCat("'", undefined.hint, "' is undefined"));
}

Value LoopAttribute(const Loop& loop, const std::string& name) {
  const auto count = static_cast<int64_t>(loop.items->size()), at = static_cast<int64_t>(loop.index);
  if (name == "index") return Value(at + 1);
  if (name == "index0") return Value(at);
  if (name == "revindex") return Value(count - at);
  if (name == "revindex0") return Value(count - at - 1);
  if (name == "first") return Value(at == 0);
  if (name == "last") return Value(at + 1 == count);
  if (name == "length") return Value(count);
  if (name == "depth") return Value(int64_t{loop.depth} + 1);
  if (name == "depth0") return Value(int64_t{loop.depth});
  if (name == "previtem" && at > 0) return (*loop.items)[at - 1];
  if (name == "nextitem" && at + 1 < count) return (*loop.items)[at + 1];
  return Value::UndefinedNamed(name);
}

Value MacroAttribute(const Macro& macro, const std::string& name) {
  if (name == "name") return Value::TemplateText(macro.statement->name);
  return Value::UndefinedNamed(name);
}

// None if there is no entry of that key.
std::optional<Value> Entry(const Value& object, const Value& key) {
  if (const Map* map = object.AsMap()) {
    const Value* found = map->Find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!key.IsInteger()) return std::nullopt;
  const List* list = object.AsList();
  if (list != nullptr && list->kind <= ListKind::kGroup) {
    const auto count = static_cast<int64_t>(list->items.size());
    const int64_t index = key.Integer() < 0 ? key.Integer() + count : key.Integer();
    return index < 0 || index >= count ? std::nullopt : std::optional<Value>(list->items[index]);
  }
  if (object.AsText() == nullptr) return std::nullopt;
  const int64_t index = key.Integer();
  const auto end = index == -1 ? std::nullopt : std::optional<int64_t>(index + 1);
  OriginText character =
      index < -CharCount(object.AsText()->text()) ? OriginText() : SliceText(*object.AsText(), index, end, 1);
  if (character.empty()) return std::nullopt;
  return object.Is<Markup>() ? Value::MarkupText(std::move(character)) : Value(std::move(character));
}

}  // namespace

Value OwnAttribute(const Value& object, const std::string& name) {
  if (HasMethod(object, name)) return Value(std::make_shared<const Method>(Method{object, name}));
  if (const auto* space = object.As<NamespaceRef>()) {
    const auto found = (*space)->values.find(name);
    if (found != (*space)->values.end()) return found->second;
  }
  if (const auto* loop = object.As<LoopRef>()) return LoopAttribute(**loop, name);
  if (const auto* macro = object.As<MacroRef>()) return MacroAttribute(**macro, name);
  if (const List* list = object.AsList(); list != nullptr && list->kind == ListKind::kGroup) {
    if (name == "grouper") return list->items[0];
    if (name == "list") return list->items[1];
  }
  return Value::UndefinedNamed(name);
}

absl::StatusOr<Value> GetAttribute(const Value& object, const std::string& name) {
  if (const auto* undefined = object.As<Undefined>()) return UndefinedError(*undefined);
  Value own = OwnAttribute(object, name);
  if (!own.Is<Undefined>()) return own;
  return Entry(object, Value::TemplateText(name)).value_or(std::move(own));
}

absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Meter& meter) {
  if (const auto* undefined = object.As<Undefined>()) return UndefinedError(*undefined);
  // Characters are counted from the start, a key is hashed.
  const bool counts = object.AsText() != nullptr && key.IsInteger();
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(counts ? object.weight() : key.weight()));
  if (std::optional<Value> entry = Entry(object, key)) return *std::move(entry);
  if (key.AsText() != nullptr) return OwnAttribute(object, key.AsText()->text());
  return Value::UndefinedNamed("item");
}

absl::StatusOr<Value> GetPath(const Value& object, const Value& path, const Value* otherwise, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(path.weight()));
  std::vector<Value> parts = {path};
  if (path.AsText() != nullptr) {
    parts.clear();
    for (const OriginText& part : SplitText(*path.AsText(), ".", -1)) {
      int64_t index = 0;
      const bool is_index = part.text().find_first_not_of("0123456789") == std::string::npos &&
                            absl::SimpleAtoi(part.text(), &index);
      parts.push_back(is_index ? Value(index) : Value(part));
    }
  }
  Value value = object;
  for (const Value& part : parts) {
    QUIRE_ASSIGN_OR_RETURN(value, GetItem(value, part, meter));
    if (otherwise != nullptr && value.Is<Undefined>()) value = *otherwise;
  }
  return value;
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Meter& meter) {
  std::vector<Value> items;
  if (const List* list = value.AsList()) {
    QUIRE_RETURN_IF_ERROR(meter.Spend(std::ssize(list->items)));
    return list->items;
  }
  if (const auto* iterator = value.As<IteratorRef>()) return std::exchange((*iterator)->items, {});
  if (const Map* map = value.AsMap()) {
    QUIRE_RETURN_IF_ERROR(meter.Spend(std::ssize(map->entries)));
    for (const auto& [key, item] : map->entries) items.push_back(key);
  } else if (const OriginText* text = value.AsText()) {
    if (text->size() > kMaxIteratedBytes)
      return absl::InvalidArgumentError("the text is too long to iterate over");
    QUIRE_RETURN_IF_ERROR(meter.Spend(static_cast<int64_t>(text->size())));
    for (OriginText& character : Characters(*text)) items.emplace_back(std::move(character));
  } else {
    QUIRE_RETURN_IF_ERROR(CheckIterable(value));
  }
  return items;
}

absl::Status CheckIterable(const Value& value) {
  const bool has_items = value.AsList() != nullptr || value.AsMap() != nullptr || value.AsText() != nullptr;
  if (has_items || value.Is<IteratorRef>() || value.Is<Undefined>()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(value.KindName(), " can't be iterated over"));
}

absl::StatusOr<int64_t> Length(const Value& value) {
  if (const OriginText* text = value.AsText()) return CharCount(text->text());
  if (const List* list = value.AsList()) return static_cast<int64_t>(list->items.size());
  if (const Map* map = value.AsMap()) return static_cast<int64_t>(map->entries.size());
  if (const auto* loop = value.As<LoopRef>()) return static_cast<int64_t>((*loop)->items->size());
  if (value.Is<Undefined>()) return 0;
  return absl::InvalidArgumentError(absl::StrCat(value.KindName(), " has no length"));
}

absl::StatusOr<bool> Contains(const Value& container, const Value& item, Meter& meter) {
  if (const OriginText* text = container.AsText()) {
    if (item.AsText() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("'in' needs a string, not ", item.KindName()));
    }
    return text->text().find(item.AsText()->text()) != std::string::npos;
  }
  if (const Map* map = container.AsMap()) {
    if (!item.HashKey()) return absl::InvalidArgumentError(absl::StrCat(item.KindName(), " can't be a key"));
    return map->Find(item) != nullptr;
  }
  const auto is_item = [&](const Value& candidate) { return candidate.Equals(item); };
  if (const List* list = container.AsList()) {
    return std::any_of(list->items.begin(), list->items.end(), is_item);
  }
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(container, meter));
  return std::any_of(items.begin(), items.end(), is_item);
}

}  // namespace quire::gateway::jinja
