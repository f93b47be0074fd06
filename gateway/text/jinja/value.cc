#include "gateway/text/jinja/value.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::gateway::jinja {
namespace {

// Counts `value` into the container that is to hold it.
absl::Status Admit(const Value& value, int& depth, size_t& weight) {
  if (value.Is<NamespaceRef>())
    return absl::InvalidArgumentError("a namespace can't be stored in another value");
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
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(),
                    [](const Value& x, const Value& y) { return x.Equals(y); });
}

bool MapsEqual(const Map& a, const Map& b) {
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
           const Value* other = b.Find(entry.first.text());
           return other != nullptr && entry.second.Equals(*other);
         });
}

}  // namespace

Value Value::UndefinedNamed(std::string hint) { return Wrap(Undefined{std::move(hint)}); }

absl::StatusOr<Value> Value::MakeList(std::vector<Value> items) {
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    QUIRE_RETURN_IF_ERROR(Admit(item, list->depth, list->weight));
  }
  list->items = std::move(items);
  return Wrap(ListRef(std::move(list)));
}

absl::StatusOr<Value> Value::MakeMap(Entries entries) {
  auto map = std::make_shared<Map>();
  for (auto& [key, value] : entries) {
    QUIRE_RETURN_IF_ERROR(Admit(value, map->depth, map->weight));
    map->weight += key.size();
    const auto [place, is_new] = map->index.try_emplace(key.text(), map->entries.size());
    if (is_new) {
      map->entries.emplace_back(std::move(key), std::move(value));
    } else {
      map->entries[place->second].second = std::move(value);
    }
  }
  return Wrap(MapRef(std::move(map)));
}

absl::StatusOr<Value> Value::FromJson(const nlohmann::ordered_json& json, Origin origin) {
  return FromJsonAt(json, origin, 0);
}

const OriginText* Value::AsText() const {
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
  if (data_.index() != other.data_.index()) return false;
  if (const OriginText* text = AsText()) return text->text() == other.AsText()->text();
  if (const List* list = AsList()) return ListsEqual(*list, *other.AsList());
  if (const Map* map = AsMap()) return MapsEqual(*map, *other.AsMap());
  if (const auto* object = As<NamespaceRef>()) return *object == *other.As<NamespaceRef>();
  if (const auto* function = As<Function>()) return function->name == other.As<Function>()->name;
  return true;  // both None, or both undefined
}

std::string Value::KindName() const {
  static constexpr const char* kNames[] = {"undefined",   "None",       "a boolean", "an integer",
                                           "a float",     "a string",   "a list",    "a mapping",
                                           "a namespace", "a function", "a macro"};
  return kNames[data_.index()];
}

int Value::depth() const {
  if (const List* list = AsList()) return list->depth;
  if (const Map* map = AsMap()) return map->depth;
  return 0;
}

size_t Value::weight() const {
  constexpr size_t kScalar = 32;
  if (const OriginText* text = AsText()) return text->size() + kScalar;
  if (const List* list = AsList()) return list->weight;
  if (const Map* map = AsMap()) return map->weight;
  return kScalar;
}

const Value* Map::Find(const std::string& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &entries[found->second].second;
}

}  // namespace quire::gateway::jinja
