// The JSON schema that a client wants an answer's text to fit, wherever a door's API has it. Pure; part of a
// parse. Whether answers can be held to it shows when a plan is made.
#pragma once

#include <string>

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

// "schema" of an object whose path is `path`, with a trailing dot.
void ReadSchemaField(FieldReader& fields, const std::string& path, TextFormat& format);
// The same as OpenAI's APIs have it: beside it "name", "description" and "strict".
void ReadNamedSchema(FieldReader& fields, const std::string& path, TextFormat& format);

}  // namespace quire::gateway
