// What a JSON schema lets a value be: shapes, each of one JSON type, of which any will do. Schemas within
// (properties, items) stay schemas until somebody asks for their shapes, so that a schema may hold itself.
// Plain data that points into the request's schema, which outlives it.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gateway/structured/number_ebnf.h"

namespace quire::gateway {

// A schema within the request's, and where it stands: "properties.name".
struct Subschema {
  const nlohmann::ordered_json* schema = nullptr;
  std::string path;
};
// All of them hold; none: any value.
using Subschemas = std::vector<Subschema>;

struct NullShape {};
struct BooleanShape {};
// A value of enum or const.
struct LiteralShape {
  const nlohmann::ordered_json* value;
};
struct NumberShape {
  NumberRange range = {};
  std::optional<uint64_t> multiple_of = {};  // of an integer
};
struct StringShape {
  uint64_t min_length = 0;  // in characters
  std::optional<uint64_t> max_length = {};
  std::vector<std::string> patterns = {};  // all of them
  std::optional<std::string> format = {};
};
struct ArrayShape {
  std::vector<Subschemas> prefix = {};
  std::optional<Subschemas> rest = Subschemas{};  // behind the prefix; nullopt: nothing
  bool rest_is_said = false;                      // by the schema
  uint64_t min_items = 0;
  std::optional<uint64_t> max_items = {};
};
struct ObjectShape {
  struct Property {
    std::string name;
    Subschemas value;
    bool required = false;
    bool forbidden = false;
  };
  // What other properties there may be.
  enum class Others {
    kUnsaid,  // the schema lets them come; a grammar does where it has no property at all
    kNone,
    kAny,  // whose values are other_values
  };
  std::vector<Property> properties = {};  // in the schema's order
  Others others = Others::kUnsaid;
  Subschemas other_values = {};
  Subschemas names = {};                    // propertyNames, of each
  std::optional<std::string> pattern = {};  // patternProperties: the one whose values are pattern_values
  Subschemas pattern_values = {};
  uint64_t min_properties = 0;
  std::optional<uint64_t> max_properties = {};

  Property* Find(const std::string& name);
  const Property* Find(const std::string& name) const;
};

using Shape =
    std::variant<NullShape, BooleanShape, LiteralShape, NumberShape, StringShape, ArrayShape, ObjectShape>;
using Shapes = std::vector<Shape>;

}  // namespace quire::gateway
