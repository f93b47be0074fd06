// Which methods values have, and those of mappings, lists and numbers; methods_text.cc has the strings'.
#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/text/jinja/builtins.h"

namespace quire::gateway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result MapGet(const Map& map, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {}));
  if (arguments.positional.empty()) return absl::InvalidArgumentError("needs a key");
  const Value& key = arguments.positional[0];
  if (!key.HashKey()) return absl::InvalidArgumentError(absl::StrCat(key.KindName(), " can't be a key"));
  if (const Value* found = map.Find(key)) return *found;
  return arguments.positional.size() == 2 ? arguments.positional[1] : Value(None{});
}

Result MapItems(const Map& map, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  std::vector<Value> items;
  for (const auto& [key, value] : map.entries) {
    QUIRE_ASSIGN_OR_RETURN(Value pair, Value::MakeList({key, value}, ListKind::kTuple));
    items.push_back(std::move(pair));
  }
  return Value::MakeList(std::move(items), ListKind::kItems);
}

Result MapKeys(const Map& map, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  std::vector<Value> items;
  for (const auto& entry : map.entries) items.push_back(entry.first);
  return Value::MakeList(std::move(items), ListKind::kKeys);
}

Result MapValues(const Map& map, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  std::vector<Value> items;
  for (const auto& entry : map.entries) items.push_back(entry.second);
  return Value::MakeList(std::move(items), ListKind::kValues);
}

Result MapCopy(const Map& map, const Arguments& arguments, Meter&) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  return Value::MakeMap(map.entries);
}

Result MapFromKeys(const Map&, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(2, {}));
  if (arguments.positional.empty()) return absl::InvalidArgumentError("needs keys");
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> keys, Iterate(arguments.positional[0], meter));
  Value::Entries entries;
  for (const Value& key : keys) {
    entries.emplace_back(key, arguments.positional.size() == 2 ? arguments.positional[1] : Value(None{}));
  }
  return Value::MakeMap(std::move(entries));
}

const absl::flat_hash_map<std::string, Result (*)(const Map&, const Arguments&, Meter&)>& MapMethods() {
  static const absl::flat_hash_map<std::string, Result (*)(const Map&, const Arguments&, Meter&)> methods = {
      {"get", MapGet},       {"items", MapItems}, {"keys", MapKeys},
      {"values", MapValues}, {"copy", MapCopy},   {"fromkeys", MapFromKeys}};
  return methods;
}

Result ListCount(const List& list, const Arguments& arguments) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(1, {}));
  if (arguments.positional.empty()) return absl::InvalidArgumentError("needs a value");
  return Value(
      static_cast<int64_t>(std::count_if(list.items.begin(), list.items.end(), [&](const Value& item) {
        return item.Equals(arguments.positional[0]);
      })));
}

Result ListIndex(const List& list, const Arguments& arguments) {
  QUIRE_RETURN_IF_ERROR(arguments.Check(3, {}));
  if (arguments.positional.empty()) return absl::InvalidArgumentError("needs a value");
  const auto count = static_cast<int64_t>(list.items.size());
  QUIRE_ASSIGN_OR_RETURN(int64_t from, arguments.Integer(1, "", 0));
  QUIRE_ASSIGN_OR_RETURN(int64_t to, arguments.Integer(2, "", count));
  from = std::max<int64_t>(0, from < 0 ? from + count : from);
  to = std::min(count, to < 0 ? to + count : to);
  for (int64_t at = from; at < to; ++at) {
    if (list.items[at].Equals(arguments.positional[0])) return Value(at);
  }
  return absl::InvalidArgumentError("the value is not in the list");
}

Result CallListMethod(const List& list, const std::string& name, const Arguments& arguments) {
  if (name == "count") return ListCount(list, arguments);
  if (name == "index") return ListIndex(list, arguments);
  QUIRE_RETURN_IF_ERROR(arguments.Check(0, {}));
  return Value::MakeList(list.items);  // copy
}

// loop.cycle and loop.changed.
Result CallLoopMethod(Loop& loop, const std::string& name, const Arguments& arguments) {
  if (name == "cycle") {
    if (arguments.positional.empty()) return absl::InvalidArgumentError("needs values");
    return arguments.positional[loop.index % arguments.positional.size()];
  }
  QUIRE_ASSIGN_OR_RETURN(Value now, Value::MakeList(arguments.positional));
  const bool changed = !loop.changed || !loop.changed->Equals(now);
  loop.changed = std::move(now);
  return Value(changed);
}

Result CallFound(const Value& object, const std::string& name, const Arguments& arguments, Meter& meter) {
  QUIRE_RETURN_IF_ERROR(meter.SpendBytes(object.weight() + arguments.weight()));
  if (object.AsText() != nullptr) return CallTextMethod(object, name, arguments, meter);
  if (const Map* map = object.AsMap()) return MapMethods().at(name)(*map, arguments, meter);
  if (const List* list = object.AsList()) return CallListMethod(*list, name, arguments);
  if (const auto* loop = object.As<LoopRef>()) return CallLoopMethod(**loop, name, arguments);
  return Value(object.IsInteger() || object.Number() == std::floor(object.Number()));  // is_integer
}

}  // namespace

bool HasMethod(const Value& object, const std::string& name) {
  if (object.AsText() != nullptr) return HasTextMethod(name);
  if (object.AsMap() != nullptr) return MapMethods().contains(name);
  if (const List* list = object.AsList()) {
    if (list->kind == ListKind::kList && name == "copy") return true;
    return list->kind <= ListKind::kGroup && (name == "count" || name == "index");
  }
  if (object.Is<LoopRef>()) return name == "cycle" || name == "changed";
  return object.Is<double>() && name == "is_integer";
}

Result CallMethod(const Value& object, const std::string& name, const Arguments& arguments, Meter& meter) {
  if (const auto* undefined = object.As<Undefined>()) {
    return absl::InvalidArgumentError(absl::StrCat("'", undefined->hint, "' is undefined"));
  }
  if (!HasMethod(object, name)) {
    return Wrong(name, absl::StrCat(object.KindName(), " has no such method that templates may call"));
  }
  Result result = CallFound(object, name, arguments, meter);
  if (result.ok()) return result;
  return Wrong(name, MessageOf(result.status()));
}

}  // namespace quire::gateway::jinja
