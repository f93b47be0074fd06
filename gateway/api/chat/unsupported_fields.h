// The fields of a request that this version can't honour and that would change the answer: refused with their
// path unless they ask for what happens anyway. One table; docs/API.md lists it. Pure; part of a parse.
#pragma once

#include <initializer_list>
#include <string_view>

#include "gateway/api/field_reader.h"

namespace quire::gateway {

// `honoured`: those that this door reads itself.
void RefuseUnsupportedFields(FieldReader& fields, std::initializer_list<std::string_view> honoured = {});

}  // namespace quire::gateway
