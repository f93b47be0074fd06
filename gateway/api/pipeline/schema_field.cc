#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {

// A schema as it is: its keys, their order and what they mean are JSON Schema's.
void ReadSchemaField(FieldReader& fields, TextFormat& format) {
  const nlohmann::ordered_json* schema = fields.Find(kSchema);
  if (schema == nullptr || !(schema->is_object() || schema->is_boolean())) {
    return fields.Fail(kSchema, "give a JSON schema: an object, true or false");
  }
  format.kind = TextFormat::Kind::kJsonSchema;
  format.schema = *schema;
  format.param = fields.prefix() + kSchema.name;
}

void ReadNamedSchema(FieldReader& fields, TextFormat& format) {
  fields.String(kSchemaName);
  fields.String(kSchemaDescription);
  format.strict = fields.Bool(kSchemaStrict).value_or(true);
  ReadSchemaField(fields, format);
}

}  // namespace quire::gateway
