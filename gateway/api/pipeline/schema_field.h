// The JSON schema that a client wants an answer's text to fit, wherever a door's API has it. Pure; part of a
// parse. Whether answers can be held to it shows when a plan is made.
#pragma once

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

// kSchema of an object.
void ReadSchemaField(FieldReader& fields, TextFormat& format);
// The same as OpenAI's APIs have it: kNamedSchemaFields.
void ReadNamedSchema(FieldReader& fields, TextFormat& format);

}  // namespace quire::gateway
