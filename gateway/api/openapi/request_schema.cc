#include "gateway/api/openapi/request_schema.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

json NumberAsWritten(double value) {
  if (value == std::trunc(value)) return static_cast<int64_t>(value);
  return value;
}

// Null is absent, unless the field must be there.
json TypeOf(const char* type, bool required) {
  if (required) return type;
  return json::array({type, "null"});
}

json Either(json schema, json other) {
  return {{"anyOf", json::array({std::move(schema), std::move(other)})}};
}

json OrAbsent(json schema, bool required) {
  if (required) return schema;
  return Either(std::move(schema), {{"type", "null"}});
}

json AnyOf(json values) { return {{"enum", std::move(values)}}; }

json Ids(size_t max_items, bool required) {
  json schema{{"type", TypeOf("array", required)},
              {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", INT32_MAX}}}};
  if (max_items < SIZE_MAX) schema["maxItems"] = max_items;
  return schema;
}

// The schema of a field by its kind, without what is said about it.
class FieldSchema {
 public:
  explicit FieldSchema(json& schemas) : schemas_(schemas) {}

  json operator()(const NumberField* field) const {
    return {{"type", TypeOf("number", false)},
            {"minimum", NumberAsWritten(field->min)},
            {"maximum", NumberAsWritten(field->max)}};
  }
  json operator()(const IntegerField* field) const {
    return {{"type", TypeOf("integer", field->required)}, {"minimum", field->min}, {"maximum", field->max}};
  }
  json operator()(const BoolField* field) const {
    if (*field->never != '\0') return AnyOf({false, nullptr});
    return {{"type", TypeOf("boolean", false)}};
  }
  json operator()(const StringField* field) const {
    json schema{{"type", TypeOf("string", field->required)}};
    if (field->filled) schema["minLength"] = 1;
    // Bytes of UTF-8, of which a character has one or more.
    if (field->max_bytes < SIZE_MAX) schema["maxLength"] = schema["x-max-bytes"] = field->max_bytes;
    if (*field->pattern != '\0') schema["pattern"] = field->pattern;
    return field->or_empty ? Either(std::move(schema), AnyOf({json::array(), json::object()})) : schema;
  }
  json operator()(const ChoiceField* field) const {
    json words = json::array();
    for (const char* word : field->words) words.push_back(word);
    if (!field->required) words.push_back(nullptr);
    json schema{{"type", TypeOf("string", field->required)}, {"enum", std::move(words)}};
    return field->or_object == nullptr ? schema
                                       : Either(std::move(schema), SchemaRef(*field->or_object, schemas_));
  }
  json operator()(const StopsField* field) const {
    const json text{{"type", "string"},
                    {"minLength", 1},
                    {"maxLength", field->max_bytes},
                    {"x-max-bytes", field->max_bytes}};
    const json list{{"type", "array"}, {"maxItems", field->max_items}, {"items", text}};
    return OrAbsent(Either(text, list), false);
  }
  json operator()(const TokenIdsField* field) const { return Ids(field->max_items, field->required); }
  json operator()(const ObjectField* field) const {
    json schema = SchemaRef(*field->shape, schemas_);
    if (field->or_empty) schema = Either(std::move(schema), {{"type", "object"}, {"maxProperties", 0}});
    return OrAbsent(std::move(schema), field->required);
  }
  json operator()(const ListField* field) const {
    json schema{{"type", "array"}, {"items", SchemaRef(*field->item, schemas_)}};
    if (field->min_items > 0) schema["minItems"] = field->min_items;
    if (field->max_items < SIZE_MAX) schema["maxItems"] = field->max_items;
    if (field->or_string) schema = Either({{"type", "string"}}, std::move(schema));
    if (field->or_empty) schema = Either(std::move(schema), AnyOf({"", json::object()}));
    return OrAbsent(std::move(schema), field->required);
  }
  json operator()(const ShapeField* field) const {
    json schema = json::parse(field->schema);
    return schema.empty() ? schema : OrAbsent(std::move(schema), field->required);
  }
  json operator()(const RefusedField* field) const {
    json values = json::parse(field->accepted);
    values.push_back(nullptr);
    json schema = AnyOf(std::move(values));
    schema["description"] = absl::StrCat("Not supported: ", field->advice, ".");
    return schema;
  }

 private:
  json& schemas_;
};

const char* NameOf(const AnyField& field) {
  return std::visit([](const auto* declared) { return declared->name; }, field.field);
}

bool IsRequired(const AnyField& field) {
  return std::visit(
      [](const auto* declared) {
        if constexpr (requires { declared->required; }) return declared->required;
        return false;
      },
      field.field);
}

// Where a schema is a mere reference, what is said about it stands beside.
json Described(const AnyField& field, json& schemas) {
  json schema = std::visit(FieldSchema(schemas), field.field);
  std::visit(
      [&](const auto* declared) {
        if constexpr (requires { declared->about; }) {
          if (*declared->about != '\0') schema["description"] = declared->about;
        }
        if constexpr (requires { declared->absent; }) {
          if (*declared->absent != '\0') schema["default"] = json::parse(declared->absent);
        }
      },
      field.field);
  return schema;
}

void AddField(const AnyField& field, json& object, json& schemas) {
  object["properties"][NameOf(field)] = Described(field, schemas);
  if (IsRequired(field)) object["required"].push_back(NameOf(field));
}

bool IsOfVariant(const DeclaredObject& object, const AnyField& field) {
  const auto is_it = [&](const AnyField& other) { return other.address == field.address; };
  return std::any_of(object.variants.begin(), object.variants.end(), [&](const ShapeVariant& variant) {
    return std::any_of(variant.fields.begin(), variant.fields.end(), is_it);
  });
}

// `by` says one of the variant's words; it may be absent where that is one of them.
json VariantOf(const ShapeVariant& variant, const ChoiceField& by, json& schemas) {
  json schema{{"title", variant.words.front()}, {"type", "object"}}, words = json::array();
  bool may_be_absent = false;
  for (const char* word : variant.words) {
    words.push_back(word);
    may_be_absent |= by.absent == absl::StrCat("\"", word, "\"");
  }
  if (may_be_absent) words.push_back(nullptr);
  schema["properties"][by.name] = AnyOf(std::move(words));
  if (*by.about != '\0') schema["properties"][by.name]["description"] = by.about;
  if (!may_be_absent) schema["required"].push_back(by.name);
  for (const AnyField& field : variant.fields) AddField(field, schema, schemas);
  if (*variant.rule != '\0') schema["allOf"].push_back(json::parse(variant.rule));
  return schema;
}

json SchemaOf(const DeclaredObject& object, json& schemas) {
  json schema{{"type", "object"}};
  if (*object.about != '\0') schema["description"] = object.about;
  for (const AnyField& field : object.fields) {
    const bool tells = object.by != nullptr && field.address == object.by;
    if (!tells && !IsOfVariant(object, field)) AddField(field, schema, schemas);
  }
  for (const ShapeVariant& variant : object.variants) {
    schema["anyOf"].push_back(VariantOf(variant, *object.by, schemas));
  }
  for (const char* rule : object.rules) schema["allOf"].push_back(json::parse(rule));
  if (*object.example != '\0') schema["examples"].push_back(json::parse(object.example));
  return schema;
}

}  // namespace

json SchemaRef(const DeclaredObject& object, json& schemas) {
  if (!schemas.contains(object.name)) {
    schemas[object.name] = nullptr;  // its place, before those that it needs
    json schema = SchemaOf(object, schemas);
    schemas[object.name] = std::move(schema);
  }
  return {{"$ref", absl::StrCat("#/components/schemas/", object.name)}};
}

}  // namespace quire::gateway
