// What a request may be, as JSON Schema (draft 2020-12, as OpenAPI 3.1 has it), out of the declarations that
// its parser reads by (gateway/api/field.h). Pure; part of the making of the document.
#pragma once

#include <nlohmann/json.hpp>

#include "gateway/api/field.h"

namespace quire::gateway {

// {"$ref": ...} to the object's schema, which is put into `schemas` (and those that it needs) if it isn't
// there.
nlohmann::ordered_json SchemaRef(const DeclaredObject& object, nlohmann::ordered_json& schemas);

}  // namespace quire::gateway
