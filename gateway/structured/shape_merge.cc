// SchemaShapes: what two schemas both let a value be, which values fit a shape, and what tells shapes apart.
#include <algorithm>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "gateway/structured/ebnf.h"
#include "gateway/structured/schema_shapes.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;
using Others = ObjectShape::Others;

constexpr uint64_t kMostCommonMultiple = 1'000'000'000;  // of an integer

void Append(const Subschemas& from, Subschemas& to) {
  for (const Subschema& sub : from) {
    const bool has =
        std::ranges::any_of(to, [&](const Subschema& other) { return other.schema == sub.schema; });
    if (!has) to.push_back(sub);
  }
}

template <typename T>
std::optional<T> Least(const std::optional<T>& a, const std::optional<T>& b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

std::optional<NumberBound> Tighter(const std::optional<NumberBound>& a, const std::optional<NumberBound>& b,
                                   bool is_min) {
  if (!a || !b) return a ? a : b;
  if (a->at == b->at) return a->exclusive ? a : b;
  return (a->at < b->at) == is_min ? b : a;
}

std::optional<Subschemas> ItemAt(const ArrayShape& shape, size_t index) {
  return index < shape.prefix.size() ? std::optional(shape.prefix[index]) : shape.rest;
}

std::optional<Subschemas> BothItems(std::optional<Subschemas> a, const std::optional<Subschemas>& b) {
  if (!a || !b) return std::nullopt;
  Append(*b, *a);
  return a;
}

std::optional<Shape> MergeArrays(const ArrayShape& a, const ArrayShape& b) {
  ArrayShape both;
  both.min_items = std::max(a.min_items, b.min_items);
  both.max_items = Least(a.max_items, b.max_items);
  for (size_t i = 0; i < std::max(a.prefix.size(), b.prefix.size()); ++i) {
    const auto item = BothItems(ItemAt(a, i), ItemAt(b, i));
    if (!item) {
      both.max_items = Least(both.max_items, std::optional<uint64_t>(i));
      both.rest.reset();
      break;
    }
    both.prefix.push_back(*item);
  }
  if (both.rest) both.rest = BothItems(a.rest, b.rest);
  both.rest_is_said = a.rest_is_said || b.rest_is_said;
  if (both.max_items && *both.max_items < both.min_items) return std::nullopt;
  return both;
}

}  // namespace

const ObjectShape::Property* ObjectShape::Find(const std::string& name) const {
  const auto found = std::ranges::find(properties, name, &Property::name);
  return found == properties.end() ? nullptr : &*found;
}

ObjectShape::Property* ObjectShape::Find(const std::string& name) {
  const auto found = std::ranges::find(properties, name, &Property::name);
  return found == properties.end() ? nullptr : &*found;
}

Shapes SchemaShapes::Both(const Shapes& a, const Shapes& b) {
  Shapes both;
  for (const Shape& one : a) {
    for (const Shape& other : b) {
      if (!MayWork()) return {};
      if (auto merged = Merge(one, other)) both.push_back(*std::move(merged));
    }
  }
  return failed() ? Shapes() : both;
}

std::optional<Shape> SchemaShapes::Merge(const Shape& a, const Shape& b) {
  if (const auto* literal = std::get_if<LiteralShape>(&a)) {
    return Fits(*literal->value, b) ? std::optional(a) : std::nullopt;
  }
  if (std::holds_alternative<LiteralShape>(b)) return Merge(b, a);
  if (a.index() != b.index()) return std::nullopt;
  if (const auto* number = std::get_if<NumberShape>(&a))
    return MergeNumbers(*number, std::get<NumberShape>(b));
  if (const auto* text = std::get_if<StringShape>(&a)) return MergeStrings(*text, std::get<StringShape>(b));
  if (const auto* array = std::get_if<ArrayShape>(&a)) return MergeArrays(*array, std::get<ArrayShape>(b));
  if (const auto* object = std::get_if<ObjectShape>(&a))
    return MergeObjects(*object, std::get<ObjectShape>(b));
  return a;
}

NumberShape SchemaShapes::MergeNumbers(const NumberShape& a, const NumberShape& b) {
  NumberShape both;
  both.range.integer = a.range.integer || b.range.integer;
  both.range.min = Tighter(a.range.min, b.range.min, true);
  both.range.max = Tighter(a.range.max, b.range.max, false);
  both.multiple_of = a.multiple_of ? a.multiple_of : b.multiple_of;
  if (a.multiple_of && b.multiple_of) {
    const uint64_t rest = *b.multiple_of / std::gcd(*a.multiple_of, *b.multiple_of);
    if (rest > kMostCommonMultiple / *a.multiple_of)
      FailUnlessLoose("", "its multipleOf are together of too large a number");
    if (rest <= kMostCommonMultiple / *a.multiple_of) both.multiple_of = *a.multiple_of * rest;
  }
  return both;
}

std::optional<Shape> SchemaShapes::MergeStrings(const StringShape& a, const StringShape& b) {
  StringShape both;
  both.min_length = std::max(a.min_length, b.min_length);
  both.max_length = Least(a.max_length, b.max_length);
  both.patterns = a.patterns;
  for (const std::string& pattern : b.patterns) {
    if (std::ranges::find(both.patterns, pattern) == both.patterns.end()) both.patterns.push_back(pattern);
  }
  both.format = a.format ? a.format : b.format;
  if (both.max_length && *both.max_length < both.min_length) return std::nullopt;
  return both;
}

void SchemaShapes::Undeclared(const ObjectShape& in, ObjectShape::Property& property) {
  const bool by_pattern = in.pattern && FitsPattern(*in.pattern, property.name);
  if (by_pattern) {
    Append(in.pattern_values, property.value);
  } else if (in.others == Others::kNone) {
    property.forbidden = true;
  } else if (in.others == Others::kAny) {
    Append(in.other_values, property.value);
  }
}

// A pattern's names are, for the side that lacks it, undeclared ones.
void SchemaShapes::MergePatterns(const ObjectShape& a, const ObjectShape& b, ObjectShape& both) {
  if (a.pattern && b.pattern) {
    if (a.pattern != b.pattern) FailUnlessLoose("", "two patternProperties for one object can't be enforced");
    return Append(b.pattern_values, both.pattern_values);
  }
  const ObjectShape& with = a.pattern ? a : b;
  const ObjectShape& without = a.pattern ? b : a;
  both.pattern = with.pattern;
  both.pattern_values = with.pattern_values;
  if (without.others == Others::kNone) both.pattern.reset();
  if (without.others == Others::kAny) Append(without.other_values, both.pattern_values);
}

std::optional<Shape> SchemaShapes::MergeObjects(const ObjectShape& a, const ObjectShape& b) {
  if (!MayWork(a.properties.size() + b.properties.size())) return std::nullopt;
  ObjectShape both = a;
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < a.properties.size(); ++i) places[a.properties[i].name] = i;
  std::vector<bool> found(a.properties.size());
  for (const ObjectShape::Property& its : b.properties) {
    if (const auto place = places.find(its.name); place != places.end()) {
      ObjectShape::Property& mine = both.properties[place->second];
      found[place->second] = true;
      Append(its.value, mine.value);
      mine.required = mine.required || its.required;
      mine.forbidden = mine.forbidden || its.forbidden;
    } else {
      both.properties.push_back(its);
      Undeclared(a, both.properties.back());
    }
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i]) Undeclared(b, both.properties[i]);
  }
  if (a.others == Others::kNone || b.others == Others::kNone) {
    both.others = Others::kNone;
  } else if (b.others == Others::kAny) {
    both.others = Others::kAny;
  }
  Append(b.other_values, both.other_values);
  Append(b.names, both.names);
  MergePatterns(a, b, both);
  both.min_properties = std::max(a.min_properties, b.min_properties);
  both.max_properties = Least(a.max_properties, b.max_properties);
  const bool impossible =
      std::ranges::any_of(both.properties, [](const auto& one) { return one.required && one.forbidden; });
  if (impossible || (both.max_properties && *both.max_properties < both.min_properties)) return std::nullopt;
  return both;
}

bool SchemaShapes::Fits(const ordered_json& value, const Shape& shape) {
  if (const auto* literal = std::get_if<LiteralShape>(&shape)) return *literal->value == value;
  if (std::holds_alternative<NullShape>(shape)) return value.is_null();
  if (std::holds_alternative<BooleanShape>(shape)) return value.is_boolean();
  if (const auto* number = std::get_if<NumberShape>(&shape)) {
    const std::optional<Decimal> decimal = Decimal::Of(value);
    if (!decimal || !number->range.Holds(*decimal)) return false;
    if (!number->multiple_of) return true;
    const auto integer = decimal->Integer();
    return integer && *integer % static_cast<int64_t>(*number->multiple_of) == 0;
  }
  if (const auto* text = std::get_if<StringShape>(&shape)) {
    return value.is_string() && FitsString(value.get<std::string>(), *text);
  }
  if (const auto* array = std::get_if<ArrayShape>(&shape))
    return value.is_array() && FitsArray(value, *array);
  return value.is_object() && FitsObject(value, std::get<ObjectShape>(shape));
}

// One that was read.
bool SchemaShapes::FitsPattern(const std::string& pattern, const std::string& text) {
  if (!MayWork(1 + text.size() / 4)) return false;
  const auto& automaton = Automaton(pattern);
  return automaton.ok() && automaton->Takes(CodePointsOf(text));
}

bool SchemaShapes::FitsString(const std::string& value, const StringShape& shape) {
  const std::u32string text = CodePointsOf(value);
  if (text.size() < shape.min_length || (shape.max_length && text.size() > *shape.max_length)) return false;
  return std::ranges::all_of(shape.patterns,
                             [&](const auto& pattern) { return FitsPattern(pattern, value); });
}

bool SchemaShapes::FitsArray(const ordered_json& value, const ArrayShape& shape) {
  if (value.size() < shape.min_items || (shape.max_items && value.size() > *shape.max_items)) return false;
  for (size_t i = 0; i < value.size(); ++i) {
    const std::optional<Subschemas> item = ItemAt(shape, i);
    if (!item || !Takes(*item, value[i])) return false;
  }
  return true;
}

bool SchemaShapes::FitsObject(const ordered_json& value, const ObjectShape& shape) {
  if (value.size() < shape.min_properties) return false;
  if (shape.max_properties && value.size() > *shape.max_properties) return false;
  for (const auto& [name, member] : value.items()) {
    ObjectShape::Property undeclared{.name = name, .value = {}};
    const auto declared = std::ranges::find(shape.properties, name, &ObjectShape::Property::name);
    if (declared == shape.properties.end()) Undeclared(shape, undeclared);
    const ObjectShape::Property& property = declared == shape.properties.end() ? undeclared : *declared;
    if (property.forbidden || !Takes(property.value, member) || !Takes(shape.names, name)) return false;
  }
  return std::ranges::all_of(shape.properties,
                             [&](const auto& one) { return !one.required || value.contains(one.name); });
}

bool SchemaShapes::TellApart(Branch a, Branch b) {
  for (size_t i = 0; i < a.is.size(); ++i) {
    for (size_t k = 0; k < b.is.size(); ++k) {
      if (!MayWork()) return false;
      const auto* object = std::get_if<ObjectShape>(&a.is[i]);
      const auto* its = std::get_if<ObjectShape>(&b.is[k]);
      if (object != nullptr && its != nullptr) {
        const bool apart = TellObjectsApart({*object, std::get<ObjectShape>(a.shall_be[i])},
                                            {*its, std::get<ObjectShape>(b.shall_be[k])});
        if (!apart) return false;
        continue;
      }
      const std::optional<Shape> both = Merge(a.is[i], b.is[k]);
      if (!both) continue;
      const auto* numbers = std::get_if<NumberShape>(&*both);
      if (numbers == nullptr || NumberEbnf(numbers->range)) return false;
    }
  }
  return true;
}

// By a property that neither goes without and whose values are others; or each by one that the other never
// has.
bool SchemaShapes::TellObjectsApart(ObjectBranch a, ObjectBranch b) {
  const auto are_literals = [](const Shapes& shapes) {
    return std::ranges::all_of(shapes,
                               [](const Shape& s) { return std::holds_alternative<LiteralShape>(s); });
  };
  for (const ObjectShape::Property& mine : a.is.properties) {
    const ObjectShape::Property* its = b.is.Find(mine.name);
    if (its == nullptr) continue;
    const Shapes my_values = Of(mine.value), its_values = Of(its->value);
    const bool differ =
        are_literals(my_values) && are_literals(its_values) && Both(my_values, its_values).empty();
    if (!differ) continue;
    a.shall_be.Find(mine.name)->required = b.shall_be.Find(mine.name)->required = true;
    return true;
  }
  const auto own = [](const ObjectShape& one, const ObjectShape& other) {
    const auto found = std::ranges::find_if(one.properties, [&](const ObjectShape::Property& property) {
      const ObjectShape::Property* its = other.Find(property.name);
      return property.required && (its == nullptr || its->forbidden);
    });
    return found == one.properties.end() ? std::optional<std::string>() : found->name;
  };
  const auto forbid = [](const std::string& name, ObjectShape& in) {
    if (in.Find(name) == nullptr) in.properties.push_back({.name = name, .value = {}, .forbidden = true});
  };
  const std::optional<std::string> mine = own(a.is, b.is), its = own(b.is, a.is);
  if (!mine || !its) return false;
  forbid(*mine, b.shall_be);
  forbid(*its, a.shall_be);
  return true;
}

}  // namespace quire::gateway
