#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {
namespace {

constexpr size_t kMaxSchemaName = 64, kMaxSchemaDescription = 64 * 1024;

}  // namespace

// A schema as it is: its keys, their order and what they mean are JSON Schema's.
void ReadSchemaField(FieldReader& fields, const std::string& path, TextFormat& format) {
  const nlohmann::ordered_json* schema = fields.Find("schema");
  if (schema == nullptr) return fields.Fail("schema", "give a JSON schema");
  format.kind = TextFormat::Kind::kJsonSchema;
  format.schema = *schema;
  format.param = path + "schema";
}

void ReadNamedSchema(FieldReader& fields, const std::string& path, TextFormat& format) {
  fields.String("name", kMaxSchemaName);
  fields.String("description", kMaxSchemaDescription);
  format.strict = fields.Bool("strict").value_or(true);
  ReadSchemaField(fields, path, format);
}

}  // namespace quire::gateway
