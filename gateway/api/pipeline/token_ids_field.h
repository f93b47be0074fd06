// Token ids where a client gives some in place of a text. Pure; part of a parse.
#pragma once

#include <string>
#include <vector>

#include "base/core/ids.h"
#include "gateway/api/field_reader.h"

namespace quire::gateway {

// Those of `list`, at `path`: 0 or more, each an id that some vocabulary may have. What is none fails at its
// own place.
std::vector<TokenId> ReadTokenIds(FieldReader& fields, const nlohmann::ordered_json& list,
                                  const std::string& path);

// Those of a field; none where it is absent.
std::vector<TokenId> ReadTokenIds(FieldReader& fields, const TokenIdsField& field);

}  // namespace quire::gateway
