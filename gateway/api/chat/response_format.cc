#include "gateway/api/chat/response_format.h"

#include "gateway/api/chat/declared_answer.h"
#include "gateway/api/pipeline/schema_field.h"

namespace quire::gateway {
namespace {

using Kind = TextFormat::Kind;

void ReadSource(FieldReader& fields, const StringField& field, Kind kind, TextFormat& format) {
  const std::optional<std::string> source = fields.String(field);
  if (!source || source->empty()) return fields.Fail(field, "give a string that isn't empty");
  format.kind = kind;
  format.source = *source;
  format.param = fields.prefix() + field.name;
}

}  // namespace

TextFormat ReadResponseFormat(FieldReader& fields) {
  TextFormat format;
  std::optional<FieldReader> own = fields.Object(kResponseFormat);
  if (!own) return format;
  const std::string type = own->Choice(kFormatType).value_or("");
  if (type == "json_object") {
    format.kind = Kind::kJsonObject;
  } else if (type == "json_schema") {
    if (std::optional<FieldReader> named = own->Object(kJsonSchema)) ReadNamedSchema(*named, format);
  } else if (type == "regex") {
    ReadSource(*own, own->Find(kPattern) != nullptr ? kPattern : kRegex, Kind::kRegex, format);
  } else if (type == "grammar") {
    ReadSource(*own, kGrammar, Kind::kEbnf, format);
  }
  return format;
}

}  // namespace quire::gateway
