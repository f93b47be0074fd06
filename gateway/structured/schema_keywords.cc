// SchemaShapes: the keywords of one schema by itself, by type.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "gateway/structured/schema_shapes.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxListed = 1'000;
constexpr char kTooMany[] = "give at most 1000";
constexpr uint64_t kMaxCount = 100'000'000;
constexpr uint64_t kMaxMultiple = 1'000'000'000;

struct TypeKeywords {
  const char* type;
  std::vector<const char*> keywords;
};

// Who leaves the type out and gives one of these means the type.
const std::vector<TypeKeywords>& KeywordsOfTypes() {
  static const std::vector<TypeKeywords> types = {
      {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"array",
       {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "additionalItems",
        "unevaluatedItems"}},
      {"object",
       {"properties", "required", "additionalProperties", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "unevaluatedProperties"}}};
  return types;
}

constexpr const char* kTypes[] = {"null", "boolean", "number", "integer", "string", "array", "object"};

bool IsType(const ordered_json& name) {
  return name.is_string() && std::ranges::any_of(kTypes, [&](const char* type) { return name == type; });
}

}  // namespace

// Of a schema without a type: those whose keywords it has, else every one.
bool SchemaShapes::HasType(const Subschema& sub, const std::string& type) {
  const auto said = sub.schema->find("type");
  if (said != sub.schema->end()) {
    if (said->is_array()) return std::find(said->begin(), said->end(), type) != said->end();
    return *said == type;
  }
  bool any = false;
  for (const TypeKeywords& one : KeywordsOfTypes()) {
    const bool has =
        std::ranges::any_of(one.keywords, [&](const char* k) { return sub.schema->contains(k); });
    if (has && one.type == type) return true;
    any = any || has;
  }
  return !any && type != "integer";
}

Shapes SchemaShapes::Typed(const Subschema& sub) {
  const auto said = sub.schema->find("type");
  if (said == sub.schema->end()) {
    if (!HasType(sub, "null")) ++narrowed_;
  } else if (!IsType(*said) && !(said->is_array() && !said->empty() && std::ranges::all_of(*said, IsType))) {
    Fail(PathOf(sub, "type"),
         "give null, boolean, number, integer, string, array, object, or a list of them");
    return {};
  }
  Shapes shapes;
  if (HasType(sub, "null")) shapes.push_back(NullShape{});
  if (HasType(sub, "boolean")) shapes.push_back(BooleanShape{});
  const bool any_number = HasType(sub, "number");
  if (any_number || HasType(sub, "integer")) {
    if (auto shape = ReadNumber(sub, !any_number)) shapes.push_back(*std::move(shape));
  }
  if (HasType(sub, "string")) shapes.push_back(ReadString(sub));
  if (HasType(sub, "array")) shapes.push_back(ReadArray(sub));
  if (HasType(sub, "object")) shapes.push_back(ReadProperties(sub));
  return shapes;
}

Shapes SchemaShapes::Literals(const Subschema& sub) {
  Shapes literals;
  const auto constant = sub.schema->find("const");
  const auto list = sub.schema->find("enum");
  if (list != sub.schema->end()) {
    if (!list->is_array() || list->empty())
      Fail(PathOf(sub, "enum"), "give a list of values that isn't empty");
    if (list->size() > kMaxListed) Fail(PathOf(sub, "enum"), kTooMany);
    for (const ordered_json& value : *list) {
      if (failed()) break;
      if (constant == sub.schema->end() || *constant == value) literals.push_back(LiteralShape{&value});
    }
  } else {
    literals.push_back(LiteralShape{&*constant});
  }
  return failed() ? Shapes() : literals;
}

std::optional<NumberBound> SchemaShapes::ReadBound(const Subschema& sub, const char* keyword,
                                                   bool exclusive) {
  const auto found = sub.schema->find(keyword);
  if (found == sub.schema->end()) return std::nullopt;
  const std::optional<Decimal> at = Decimal::Of(*found);
  if (!at) Fail(PathOf(sub, keyword), "give a number");
  return NumberBound{at.value_or(Decimal{}), exclusive};
}

std::optional<NumberShape> SchemaShapes::ReadNumber(const Subschema& sub, bool integer) {
  NumberShape shape;
  shape.range.integer = integer;
  for (const bool exclusive : {false, true}) {
    const auto min = ReadBound(sub, exclusive ? "exclusiveMinimum" : "minimum", exclusive);
    if (min && (!shape.range.min || shape.range.min->at <= min->at)) shape.range.min = min;
    const auto max = ReadBound(sub, exclusive ? "exclusiveMaximum" : "maximum", exclusive);
    if (max && (!shape.range.max || max->at <= shape.range.max->at)) shape.range.max = max;
  }
  ReadMultiple(sub, shape);
  return shape;
}

void SchemaShapes::ReadMultiple(const Subschema& sub, NumberShape& shape) {
  const auto found = sub.schema->find("multipleOf");
  if (found == sub.schema->end()) return;
  const std::optional<Decimal> multiple = Decimal::Of(*found);
  if (!multiple || multiple->negative || multiple->is_zero()) {
    return Fail(PathOf(sub, "multipleOf"), "give a number above 0");
  }
  const std::optional<int64_t> integer = multiple->Integer();
  if (!integer || static_cast<uint64_t>(*integer) > kMaxMultiple) {
    return FailUnlessLoose(PathOf(sub, "multipleOf"),
                           "only multiples of an integer up to 10^9 can be enforced");
  }
  shape.range.integer = true;
  shape.multiple_of = static_cast<uint64_t>(*integer);
}

std::optional<uint64_t> SchemaShapes::Count(const Subschema& sub, const char* keyword) {
  const auto found = sub.schema->find(keyword);
  if (found == sub.schema->end()) return std::nullopt;
  const std::optional<Decimal> count = Decimal::Of(*found);
  if (!count || count->negative || !count->is_integer()) {
    Fail(PathOf(sub, keyword), "give an integer from 0 on");
    return std::nullopt;
  }
  const std::optional<int64_t> small = count->Integer();
  return small ? std::min<uint64_t>(static_cast<uint64_t>(*small), kMaxCount) : kMaxCount;
}

StringShape SchemaShapes::ReadString(const Subschema& sub) {
  StringShape shape;
  shape.min_length = Count(sub, "minLength").value_or(0);
  shape.max_length = Count(sub, "maxLength");
  const auto text = [&](const char* keyword) -> std::optional<std::string> {
    const auto found = sub.schema->find(keyword);
    if (found == sub.schema->end()) return std::nullopt;
    if (found->is_string()) return found->get<std::string>();
    Fail(PathOf(sub, keyword), "give a string");
    return std::nullopt;
  };
  shape.format = text("format");
  if (const auto pattern = text("pattern")) {
    const absl::Status usable = Automaton(*pattern).status();
    if (usable.ok()) {
      shape.patterns.push_back(*pattern);
    } else {
      FailUnlessLoose(PathOf(sub, "pattern"), MessageOf(usable));
    }
  }
  return shape;
}

ArrayShape SchemaShapes::ReadArray(const Subschema& sub) {
  ArrayShape shape;
  const auto list = sub.schema->find("items");
  const bool is_old = list != sub.schema->end() && list->is_array();  // of a draft before 2020
  const char* prefix = is_old ? "items" : "prefixItems";
  const char* rest = is_old ? "additionalItems" : "items";
  if (sub.schema->contains(prefix)) {
    for (Subschema& part : List(sub, prefix)) shape.prefix.push_back({std::move(part)});
  }
  const char* others = sub.schema->contains(rest) ? rest : "unevaluatedItems";
  if (const auto found = sub.schema->find(others); found != sub.schema->end()) {
    shape.rest_is_said = true;
    shape.rest = Subschemas{{&*found, PathOf(sub, others)}};
    if (*found == false) shape.rest.reset();
  }
  shape.min_items = Count(sub, "minItems").value_or(0);
  shape.max_items = Count(sub, "maxItems");
  return shape;
}

const ordered_json* SchemaShapes::Object(const Subschema& sub, const char* keyword) {
  const auto found = sub.schema->find(keyword);
  if (found == sub.schema->end()) return nullptr;
  if (found->is_object()) return &*found;
  Fail(PathOf(sub, keyword), "give an object");
  return nullptr;
}

ObjectShape SchemaShapes::ReadProperties(const Subschema& sub) {
  ObjectShape shape;
  if (const ordered_json* properties = Object(sub, "properties")) {
    if (properties->size() > kMaxListed) Fail(PathOf(sub, "properties"), kTooMany);
    for (const auto& [name, schema] : properties->items()) {
      if (failed()) break;
      const std::string path = PathOf({nullptr, PathOf(sub, "properties")}, name);
      shape.properties.push_back({.name = name, .value = {{&schema, path}}});
    }
  }
  ReadOthers(sub, shape);
  for (ObjectShape::Property& property : shape.properties) {
    const bool matches = shape.pattern && FitsPattern(*shape.pattern, property.name);
    if (matches)
      property.value.insert(property.value.end(), shape.pattern_values.begin(), shape.pattern_values.end());
  }
  ReadRequired(sub, shape);
  shape.min_properties = Count(sub, "minProperties").value_or(0);
  shape.max_properties = Count(sub, "maxProperties");
  return shape;
}

void SchemaShapes::ReadOthers(const Subschema& sub, ObjectShape& shape) {
  if (const ordered_json* patterns = Object(sub, "patternProperties");
      patterns != nullptr && !patterns->empty()) {
    const std::string pattern = patterns->begin().key();
    const ordered_json& schema = patterns->begin().value();
    const std::string path = PathOf({nullptr, PathOf(sub, "patternProperties")}, pattern);
    const absl::Status usable = Automaton(pattern).status();
    if (patterns->size() > 1) {
      FailUnlessLoose(PathOf(sub, "patternProperties"), "only one pattern can be enforced");
    } else if (!usable.ok()) {
      FailUnlessLoose(path, MessageOf(usable));
    } else {
      shape.pattern = pattern;
      shape.pattern_values = {{&schema, path}};
    }
  }
  constexpr const char* kAdditional = "additionalProperties";
  const char* others = sub.schema->contains(kAdditional) ? kAdditional : "unevaluatedProperties";
  if (const auto found = sub.schema->find(others); found != sub.schema->end()) {
    shape.others = *found == false ? ObjectShape::Others::kNone : ObjectShape::Others::kAny;
    if (*found != false) shape.other_values = {{&*found, PathOf(sub, others)}};
  }
  if (const auto found = sub.schema->find("propertyNames"); found != sub.schema->end()) {
    shape.names = {{&*found, PathOf(sub, "propertyNames")}};
  }
}

void SchemaShapes::ReadRequired(const Subschema& sub, ObjectShape& shape) {
  const auto required = sub.schema->find("required");
  if (required == sub.schema->end()) return;
  if (!required->is_array()) return Fail(PathOf(sub, "required"), "give a list of names");
  if (required->size() > kMaxListed) return Fail(PathOf(sub, "required"), kTooMany);
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < shape.properties.size(); ++i) places[shape.properties[i].name] = i;
  for (const ordered_json& name : *required) {
    if (!name.is_string()) return Fail(PathOf(sub, "required"), "give a list of names");
    const auto [place, is_new] = places.emplace(name.get<std::string>(), shape.properties.size());
    if (is_new) {
      ObjectShape::Property property{.name = name, .value = {}};
      Undeclared(shape, property);
      shape.properties.push_back(std::move(property));
    }
    shape.properties[place->second].required = true;
  }
}

}  // namespace quire::gateway
