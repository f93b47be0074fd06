#include "gateway/api/openapi/answer_schema.h"

#include "absl/strings/str_cat.h"

namespace quire::gateway::schema {

Schema Object(const Members& members) {
  Schema object{{"type", "object"}, {"properties", Schema::object()}, {"required", Schema::array()}};
  for (const auto& [name, schema] : members) {
    const bool may_be_absent = name.ends_with('?');
    const std::string member = may_be_absent ? name.substr(0, name.size() - 1) : name;
    object["properties"][member] = schema;
    if (!may_be_absent) object["required"].push_back(member);
  }
  object["additionalProperties"] = false;
  return object;
}

Schema Ref(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

Schema List(Schema items, size_t most) {
  Schema list{{"type", "array"}, {"items", std::move(items)}};
  if (most < SIZE_MAX) list["maxItems"] = most;
  return list;
}

Schema EmptyList() { return {{"type", "array"}, {"maxItems", 0}}; }

Schema Filled(Schema list) {
  list["minItems"] = 1;
  return list;
}

Schema OrNull(Schema schema) { return {{"anyOf", Schema::array({std::move(schema), Null()})}}; }

Schema OneOf(const std::vector<std::string>& names) {
  Schema schema;
  for (const std::string& name : names) schema["oneOf"].push_back(Ref(name));
  return schema;
}

Schema Text() { return {{"type", "string"}}; }
Schema TextOrNull() { return {{"type", Schema::array({"string", "null"})}}; }
Schema Count() { return {{"type", "integer"}, {"minimum", 0}}; }
Schema Number() { return {{"type", "number"}}; }
Schema NumberOrNull() { return {{"type", Schema::array({"number", "null"})}}; }
Schema Dollars() { return {{"type", "number"}, {"minimum", 0}, {"description", "US dollars."}}; }
Schema Flag() { return {{"type", "boolean"}}; }
Schema Null() { return {{"type", "null"}}; }
Schema AnyObject() { return {{"type", "object"}}; }
Schema Just(Schema value) { return {{"const", std::move(value)}}; }
Schema Words(Schema list) { return {{"enum", std::move(list)}}; }

Schema Id(const std::string& prefix) {
  return {{"type", "string"}, {"pattern", absl::StrCat("^", prefix, "[0-9a-f]+$")}};
}

Schema About(std::string text, Schema schema) {
  schema["description"] = std::move(text);
  return schema;
}

}  // namespace quire::gateway::schema
