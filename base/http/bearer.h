// The token of "Authorization: Bearer TOKEN" (RFC 9110, 11.4: the scheme in any case, then one or more spaces
// or tabs). Pure, any thread.
#pragma once

#include <string_view>

#include "base/http/request_head.h"

namespace quire::http {

// Empty where there is none. Points into `head`, or into the header's value.
std::string_view BearerToken(const RequestHead& head);
std::string_view BearerToken(std::string_view value);

}  // namespace quire::http
