#include "gateway/api/chat/response_format.h"

#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;
using Kind = TextFormat::Kind;

constexpr size_t kMaxSourceText = 64 * 1024;
constexpr size_t kMaxFormatNameBytes = 64;

void ReadSource(FieldReader& fields, const char* name, const std::string& path, Kind kind,
                TextFormat& format) {
  const std::optional<std::string> source = fields.String(name, kMaxSourceText);
  if (!source || source->empty()) return fields.Fail(name, "give a string that isn't empty");
  format.kind = kind;
  format.source = *source;
  format.param = path + name;
}

void ReadJsonSchema(FieldReader& fields, std::optional<http::ApiError>& error, TextFormat& format) {
  const json* wrapped = fields.Find("json_schema");
  if (wrapped == nullptr || !wrapped->is_object()) {
    return fields.Fail("json_schema", "give an object with a name and a schema");
  }
  const std::string path = "response_format.json_schema.";
  FieldReader own(*wrapped, path, error);
  ReadNamedSchema(own, path, format);
}

}  // namespace

TextFormat ReadResponseFormat(FieldReader& fields, std::optional<http::ApiError>& error) {
  TextFormat format;
  const json* given = fields.Find("response_format");
  if (given == nullptr) return format;
  if (!given->is_object()) {
    fields.Fail("response_format", "give an object with a type");
    return format;
  }
  constexpr const char* kPath = "response_format.";
  FieldReader own(*given, kPath, error);
  const std::string type = own.String("type", kMaxFormatNameBytes).value_or("");
  if (type == "json_object") {
    format.kind = Kind::kJsonObject;
  } else if (type == "json_schema") {
    ReadJsonSchema(own, error, format);
  } else if (type == "regex") {
    ReadSource(own, given->contains("pattern") ? "pattern" : "regex", kPath, Kind::kRegex, format);
  } else if (type == "grammar") {
    ReadSource(own, "grammar", kPath, Kind::kEbnf, format);
  } else if (type != "text") {
    own.Fail("type", "give text, json_object, json_schema, regex or grammar");
  }
  return format;
}

}  // namespace quire::gateway
