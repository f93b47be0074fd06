#include "gateway/text/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway::jinja {
namespace {

// Counts `value` into the container that is to hold it.
absl::Status Admit(const Value& value, int& depth, size_t& weight) {
  if (value.MayHoldScope()) {
    return absl::InvalidArgumentError(absl::StrCat(value.KindName(), " can't be stored in another value"));
  }
  depth = std::max(depth, value.depth() + 1);
  weight += value.weight();
  if (depth > kMaxValueDepth) {
    return absl::InvalidArgumentError(absl::StrCat("values are nested deeper than ", kMaxValueDepth));
  }
  if (weight > kMaxValueBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a value has more than ", kMaxValueBytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> FromJsonAt(const nlohmann::ordered_json& json, Origin origin, int depth) {
  using Kind = nlohmann::json::value_t;
  if (depth > kMaxValueDepth) {
    return absl::InvalidArgumentError(absl::StrCat("values are nested deeper than ", kMaxValueDepth));
  }
  switch (json.type()) {
    case Kind::boolean:
      return Value(json.get<bool>());
    case Kind::number_integer:
      return Value(json.get<int64_t>());
    case Kind::number_unsigned:
      if (json.get<uint64_t>() <= INT64_MAX) return Value(json.get<int64_t>());
      return Value(json.get<double>());
    case Kind::number_float:
      return Value(json.get<double>());
    case Kind::string:
      return Value(OriginText(json.get<std::string>(), origin));
    case Kind::array: {
      std::vector<Value> items;
      for (const auto& item : json) {
        QUIRE_ASSIGN_OR_RETURN(Value value, FromJsonAt(item, origin, depth + 1));
        items.push_back(std::move(value));
      }
      return Value::MakeList(std::move(items));
    }
    case Kind::object: {
      Value::Entries entries;
      for (const auto& [key, item] : json.items()) {
        QUIRE_ASSIGN_OR_RETURN(Value value, FromJsonAt(item, origin, depth + 1));
        entries.emplace_back(OriginText(key, origin), std::move(value));
      }
      return Value::MakeMap(std::move(entries));
    }
    default:
      return Value(None{});
  }
}

bool ListsEqual(const List& a, const List& b) {
  return a.IsTuple() == b.IsTuple() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(),
                    [](const Value& x, const Value& y) { return x.Equals(y); });
}

bool MapsEqual(const Map& a, const Map& b) {
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
           const Value* other = b.Find(entry.first);
           return other != nullptr && entry.second.Equals(*other);
         });
}

std::string TextKey(std::string_view text) {
  std::string key(1, 's');
  key.append(text);
  return key;
}

// 1, 1.0 and True are one key, as in Python.
std::string NumberKey(const Value& value) {
  if (value.IsInteger()) return absl::StrCat("n", value.Integer());
  const double number = value.Number();
  if (number == std::floor(number) && std::abs(number) < 9e18) {
    return absl::StrCat("n", static_cast<int64_t>(number));
  }
  std::string key = "f        ";
  std::memcpy(key.data() + 1, &number, sizeof(number));
  return key;
}

std::optional<std::string> TupleKey(const List& list) {
  std::string key = "(";
  for (const Value& item : list.items) {
    const std::optional<std::string> part = item.HashKey();
    if (!part) return std::nullopt;
    absl::StrAppend(&key, part->size(), ":", *part);
  }
  return key;
}

}  // namespace

Value Value::UndefinedNamed(std::string hint) { return Wrap(Undefined{std::move(hint)}); }

Value Value::MarkupText(OriginText text) {
  return Wrap(Markup{std::make_shared<const OriginText>(std::move(text))});
}

absl::StatusOr<Value> Value::MakeList(std::vector<Value> items, ListKind kind) {
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    QUIRE_RETURN_IF_ERROR(Admit(item, list->depth, list->weight));
  }
  list->items = std::move(items);
  list->kind = kind;
  return Wrap(ListRef(std::move(list)));
}

absl::StatusOr<Value> Value::MakeMap(Entries entries) {
  auto map = std::make_shared<Map>();
  for (auto& [key, value] : entries) {
    QUIRE_RETURN_IF_ERROR(Admit(key, map->depth, map->weight));
    QUIRE_RETURN_IF_ERROR(Admit(value, map->depth, map->weight));
    std::optional<std::string> hash = key.HashKey();
    if (!hash) return absl::InvalidArgumentError(absl::StrCat(key.KindName(), " can't be a key"));
    const auto [place, is_new] = map->index.try_emplace(*std::move(hash), map->entries.size());
    if (is_new) {
      map->entries.emplace_back(std::move(key), std::move(value));
    } else {
      map->entries[place->second].second = std::move(value);
    }
  }
  return Wrap(MapRef(std::move(map)));
}

absl::StatusOr<Value> Value::MakeIterator(std::vector<Value> items) {
  auto iterator = std::make_shared<Iterator>();
  for (const Value& item : items) {
    QUIRE_RETURN_IF_ERROR(Admit(item, iterator->depth, iterator->weight));
  }
  iterator->items = std::move(items);
  return Wrap(IteratorRef(std::move(iterator)));
}

absl::StatusOr<Value> Value::FromJson(const nlohmann::ordered_json& json, Origin origin) {
  return FromJsonAt(json, origin, 0);
}

const OriginText* Value::AsText() const {
  if (const auto* markup = As<Markup>()) return markup->text.get();
  const auto* ref = As<TextRef>();
  return ref == nullptr ? nullptr : ref->get();
}
const List* Value::AsList() const {
  const auto* ref = As<ListRef>();
  return ref == nullptr ? nullptr : ref->get();
}
const Map* Value::AsMap() const {
  const auto* ref = As<MapRef>();
  return ref == nullptr ? nullptr : ref->get();
}
bool Value::IsTuple() const { return AsList() != nullptr && AsList()->IsTuple(); }

int64_t Value::Integer() const {
  if (const bool* value = As<bool>()) return *value ? 1 : 0;
  const int64_t* value = As<int64_t>();
  return value == nullptr ? 0 : *value;
}

double Value::Number() const {
  const double* value = As<double>();
  return value == nullptr ? static_cast<double>(Integer()) : *value;
}

bool Value::Truthy() const {
  if (IsNumber()) return Number() != 0;
  if (const OriginText* text = AsText()) return !text->empty();
  if (const List* list = AsList()) return !list->items.empty();
  if (const Map* map = AsMap()) return !map->entries.empty();
  return !Is<Undefined>() && !Is<None>();
}

bool Value::Equals(const Value& other) const {
  if (IsInteger() && other.IsInteger()) return Integer() == other.Integer();
  if (IsNumber() && other.IsNumber()) return Number() == other.Number();
  if (const OriginText* text = AsText()) {
    return other.AsText() != nullptr && text->text() == other.AsText()->text();
  }
  if (data_.index() != other.data_.index()) return false;
  if (const List* list = AsList()) return ListsEqual(*list, *other.AsList());
  if (const Map* map = AsMap()) return MapsEqual(*map, *other.AsMap());
  if (const auto* function = As<Function>()) return function->name == other.As<Function>()->name;
  if (const auto* object = As<NamespaceRef>()) return *object == *other.As<NamespaceRef>();
  if (const auto* loop = As<LoopRef>()) return *loop == *other.As<LoopRef>();
  if (const auto* iterator = As<IteratorRef>()) return *iterator == *other.As<IteratorRef>();
  if (const auto* macro = As<MacroRef>()) return *macro == *other.As<MacroRef>();
  if (const auto* method = As<MethodRef>()) {
    const Method& with = **other.As<MethodRef>();
    return (*method)->name == with.name && (*method)->object.Equals(with.object);
  }
  return true;  // both None, or both undefined
}

std::optional<std::string> Value::HashKey() const {
  if (const OriginText* text = AsText()) return TextKey(text->text());
  if (IsNumber()) return NumberKey(*this);
  if (IsTuple()) return TupleKey(*AsList());
  if (Is<None>()) return "N";
  if (Is<Undefined>()) return "U";
  return std::nullopt;
}

bool Value::MayHoldScope() const {
  if (const auto* macro = As<MacroRef>()) return !(*macro)->captured.empty();
  if (const auto* method = As<MethodRef>()) return (*method)->object.MayHoldScope();
  return Is<NamespaceRef>() || Is<LoopRef>();
}

std::string Value::KindName() const {
  static constexpr const char* kNames[] = {
      "undefined", "None",        "a boolean",   "an integer", "a float",    "a string", "a string", "a list",
      "a mapping", "a namespace", "an iterator", "a loop",     "a function", "a method", "a macro"};
  if (IsTuple()) return "a tuple";
  return kNames[data_.index()];
}

int Value::depth() const {
  if (const List* list = AsList()) return list->depth;
  if (const Map* map = AsMap()) return map->depth;
  if (const auto* iterator = As<IteratorRef>()) return (*iterator)->depth;
  if (const auto* method = As<MethodRef>()) return (*method)->object.depth();
  return 0;
}

size_t Value::weight() const {
  constexpr size_t kScalar = 32;
  if (const OriginText* text = AsText()) return text->size() + kScalar;
  if (const List* list = AsList()) return list->weight;
  if (const Map* map = AsMap()) return map->weight;
  if (const auto* iterator = As<IteratorRef>()) return (*iterator)->weight;
  if (const auto* method = As<MethodRef>()) return (*method)->object.weight();
  return kScalar;
}

const Value* Map::Find(const Value& key) const {
  const std::optional<std::string> hash = key.HashKey();
  const auto found = hash ? index.find(*hash) : index.end();
  return found == index.end() ? nullptr : &entries[found->second].second;
}

const Value* Map::FindText(std::string_view key) const {
  const auto found = index.find(TextKey(key));
  return found == index.end() ? nullptr : &entries[found->second].second;
}

}  // namespace quire::gateway::jinja
