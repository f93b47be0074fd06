// The head of a reply as bytes: status line, the given headers, Date, and whether the connection goes on.
// Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/http/reply.h"

namespace quire::http {

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).
std::string HttpDate(int64_t unix_s);

std::string ReplyHead(int status, const Headers& headers, int64_t unix_s, bool keep_alive);

}  // namespace quire::http
