// /openapi.json: the public HTTP plane as OpenAPI 3.1, made of the table of operations, of the declarations
// that requests are read by and of the schemas beside the writers. It names no model: those come and go.
// Pure.
#pragma once

#include <string>

namespace quire::gateway {

// `version`: this server's.
std::string OpenApiDocument(const std::string& version);

}  // namespace quire::gateway
