// The fields of a chat request that this version can't honour and that would change the answer: refused with
// their path unless they ask for what happens anyway. One table; docs/API.md lists it. Pure; part of
// ParseChatRequest.
#pragma once

#include "gateway/api/field_reader.h"

namespace quire::gateway {

void RefuseUnsupportedFields(FieldReader& fields);

}  // namespace quire::gateway
